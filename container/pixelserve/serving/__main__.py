"""`python -m pixelserve.serving` is the command `serve`."""

import sys

from pixelserve.serving.supervisor import main

sys.exit(main())
