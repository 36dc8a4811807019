"""The hook of a thread that waits for a network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar

WAITING: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("WAITING", default=nullcontext)
"""What a thread enters while it waits for a network; a server gives its place among the decoders to others then."""
