"""Answers that wait for their readers: there is room for so much of them at once."""

from __future__ import annotations

import asyncio
from typing import Protocol

GRACE_SECONDS = 1.0
"""No answer is cut off that has waited for less: a reader may be slow to start."""


class Waiting(Protocol):
    """A connection whose answer waits."""

    @property
    def unread_bytes(self) -> int:
        """What is held for its reader."""

    def cut_off(self) -> None:
        """Ends the connection and frees what it holds."""


class Unread:
    """The answers that a process holds for readers who take no more now, up to `room` bytes.

    Beyond that who has taken nothing for the longest time is cut off.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._since: dict[Waiting, float] = {}

    def begins(self, connection: Waiting) -> None:
        """Its reader takes no more now."""
        now = asyncio.get_running_loop().time()
        self._since[connection] = now
        held = {waiting: waiting.unread_bytes for waiting in self._since}
        excess = sum(held.values()) - self._room
        for waiting, since in list(self._since.items()):  # the longest first
            if excess <= 0 or now - since < GRACE_SECONDS:
                break
            excess -= held[waiting]
            self.ends(waiting)
            waiting.cut_off()

    def ends(self, connection: Waiting) -> None:
        """Its reader has taken some, or the connection has ended."""
        self._since.pop(connection, None)
