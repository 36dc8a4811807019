"""`python -m pixelserve_deploy` is the command `pixelserve`."""

import sys

from pixelserve_deploy.cli import main

sys.exit(main())
