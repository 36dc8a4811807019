"""What callers may make this machine reach: addresses that may be called, and the fetching of a caller's URL."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.net.fetching import fetch, parse_url
    from pixelserve.net.guard import AsyncGuardedBackend, GuardedBackend, is_allowed
    from pixelserve.net.waiting import WAITING
else:
    __getattr__ = exports(
        __name__,
        {
            ".fetching": "fetch parse_url",
            ".guard": "AsyncGuardedBackend GuardedBackend is_allowed",
            ".waiting": "WAITING",
        },
    )

__all__ = ["WAITING", "AsyncGuardedBackend", "GuardedBackend", "fetch", "is_allowed", "parse_url"]
