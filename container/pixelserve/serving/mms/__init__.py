"""The back end `mms`: the same handlers under sagemaker-inference and multi-model-server."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.serving.mms.server import run
else:
    __getattr__ = exports(__name__, {".server": "run"})

__all__ = ["run"]
