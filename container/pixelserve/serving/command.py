"""The command `serve`, which SageMaker runs in the container."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pixelserve.errors import PixelserveError
from pixelserve.observe import configure
from pixelserve.processes import Stop
from pixelserve.settings import Settings, SettingsError, settings

EXIT_FAILED, EXIT_SETTINGS = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until a signal. 0 after a clean end, 1 after a failure, 2 for a setting or command that cannot be used."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words not in ([], ["serve"]):
        sys.stderr.write(
            f"serve: this serves a model and takes no other command than `serve`, not {' '.join(words)}.\n"
        )
        return EXIT_SETTINGS
    try:
        with Stop().listening() as stop:
            config = settings()
            configure(config.log_level)
            return _serve(config, stop)
    except PixelserveError as error:
        sys.stderr.write(f"serve: {error.message}\n")
        return EXIT_SETTINGS if isinstance(error, SettingsError) else EXIT_FAILED


def _serve(config: Settings, stop: Stop) -> int:
    """Runs the back end that the settings choose; only that one is imported."""
    if config.backend == "mms":
        from pixelserve.serving import mms

        return mms.run(config, stop)
    if config.multi_model:
        from pixelserve.serving import multi_model

        return multi_model.run(config, stop)
    from pixelserve.serving import native

    return native.run(config, stop)
