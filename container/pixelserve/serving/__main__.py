"""`python -m pixelserve.serving` is the command `serve`."""

import sys

from pixelserve.serving.command import main

sys.exit(main())
