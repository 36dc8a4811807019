"""The command `serve`, which SageMaker runs in the container."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pixelserve.errors import PixelserveError
from pixelserve.serving import logs
from pixelserve.settings import Settings, SettingsError, settings

EXIT_FAILED, EXIT_SETTINGS = 1, 2
_SERVE = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: end with the thread that started this
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has ended already")
os.execv(sys.executable, [sys.executable, "-m", "pixelserve.serving"])
"""


def serve_command() -> list[str]:
    """The command line of a server that ends with the thread that starts it, however that ends."""
    return [sys.executable, "-c", _SERVE, str(os.getpid())]


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM. 0 after a clean end, 1 after a failure, 2 for a setting or command that cannot be used."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words not in ([], ["serve"]):
        sys.stderr.write(
            f"serve: this serves a model and takes no other command than `serve`, not {' '.join(words)}.\n"
        )
        return EXIT_SETTINGS
    try:
        config = settings()
        logs.configure(config.log_level)
        return _serve(config)
    except PixelserveError as error:
        sys.stderr.write(f"serve: {error.message}\n")
        return EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED


def _serve(config: Settings) -> int:
    """Runs the back end that the settings choose; only that one is imported."""
    if config.backend == "mms":
        from pixelserve.serving import mms

        return mms.run(config)
    if config.multi_model:
        from pixelserve.serving import multi_model

        return multi_model.run(config)
    from pixelserve.serving import supervisor

    return supervisor.run(config)
