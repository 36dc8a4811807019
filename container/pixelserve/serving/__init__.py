"""The server: any handler's functions behind the SageMaker container contract."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.serving.answers import Answer, Body, as_error, from_handler
    from pixelserve.serving.context import Context
    from pixelserve.serving.handler import Handler, Location, load, load_model, locate
else:
    __getattr__ = exports(
        __name__,
        {
            ".answers": "Answer Body as_error from_handler",
            ".context": "Context",
            ".handler": "Handler Location load load_model locate",
        },
    )

__all__ = [
    "Answer",
    "Body",
    "Context",
    "Handler",
    "Location",
    "as_error",
    "from_handler",
    "load",
    "load_model",
    "locate",
]
