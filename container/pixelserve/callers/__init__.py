"""Callers that are slow or abusive: connections and bodies with deadlines, least rates and room."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.callers.arrivals import Arrivals, ArrivalsMiddleware
    from pixelserve.callers.connection import Connection
    from pixelserve.callers.unread import Unread
else:
    __getattr__ = exports(
        __name__,
        {".arrivals": "Arrivals ArrivalsMiddleware", ".connection": "Connection", ".unread": "Unread"},
    )

__all__ = ["Arrivals", "ArrivalsMiddleware", "Connection", "Unread"]
