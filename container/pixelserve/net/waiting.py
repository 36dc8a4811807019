"""The hook of a thread that waits for a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

Check = Callable[[], None]
"""Raises when nobody wants any more what is waited for."""


def ignore() -> None:
    """The Check of what is always wanted."""


@contextlib.contextmanager
def _just_wait() -> Iterator[Check]:
    yield ignore


WAITING: ContextVar[Callable[[], AbstractContextManager[Check]]] = ContextVar("WAITING", default=_just_wait)
"""What a thread enters while it waits for a network; a server gives its place among the decoders to others then. What
it gives is called now and then."""
