"""Who reads a connection's answers: some must be taken in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Writing(Protocol):
    """A transport that counts."""

    written: int

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""


class Reader:
    """While it is watched, `late` is called unless `least` bytes are taken each `seconds`, or all that there are."""

    def __init__(self, transport: Writing, seconds: float, least: int, late: Callable[[], None]) -> None:
        self._transport = transport
        self._seconds = seconds
        self._least = least
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_watched(self) -> bool:
        return self._timer is not None

    def watch(self) -> None:
        """Gives it time from now on."""
        self.leave()
        unsent = self._transport.get_write_buffer_size()
        target = self._transport.written - unsent + min(unsent, self._least)
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look, target)

    def leave(self) -> None:
        """Watches it no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, target: int) -> None:
        self._timer = None
        unsent = self._transport.get_write_buffer_size()
        if self._transport.written - unsent < target:
            self._late()
        elif unsent:
            self.watch()
