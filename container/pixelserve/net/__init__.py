"""What callers may make this machine reach: addresses that may be called, and the fetching of a caller's URL.

Importing it loads nothing from third parties; the names that need httpcore or httpx load them when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pixelserve.net.waiting import WAITING

if TYPE_CHECKING:
    from pixelserve.net.fetching import fetch
    from pixelserve.net.guard import AsyncGuardedBackend, GuardedBackend, is_allowed

__all__ = ["WAITING", "AsyncGuardedBackend", "GuardedBackend", "fetch", "is_allowed"]

_MODULES = {"AsyncGuardedBackend": "guard", "GuardedBackend": "guard", "fetch": "fetching", "is_allowed": "guard"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
