"""The command `pixelserve`, which is `python -m pixelserve_deploy` too."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Ctrl-C while Python still imports ends it without a word; from then on `cli` listens to signals."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pixelserve_deploy import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
