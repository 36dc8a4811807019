"""Several models in one container: SageMaker's multi-model contract, each model a server process of its own."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.serving.multi_model.front import run
else:
    __getattr__ = exports(__name__, {".front": "run"})

__all__ = ["run"]
