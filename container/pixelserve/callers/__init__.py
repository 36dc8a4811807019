"""Callers that are slow or abusive: connections and bodies with deadlines, least rates and room."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.callers.arrivals import Arrivals, ArrivalsMiddleware
    from pixelserve.callers.connection import IDLE_SECONDS, Connection, end_longest_idle
    from pixelserve.callers.unread import Unread
else:
    __getattr__ = exports(
        __name__,
        {
            ".arrivals": "Arrivals ArrivalsMiddleware",
            ".connection": "IDLE_SECONDS Connection end_longest_idle",
            ".unread": "Unread",
        },
    )

__all__ = ["IDLE_SECONDS", "Arrivals", "ArrivalsMiddleware", "Connection", "Unread", "end_longest_idle"]
