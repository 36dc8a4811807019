"""Answers that wait for their readers: there is room for so much of them at once."""

from __future__ import annotations

import asyncio
from typing import Protocol

GRACE_SECONDS = 1.0
"""No answer is cut off that has waited for less: a reader may be slow to start."""
_LOOK_SECONDS = 0.1
"""At least, between two looks at all of them."""


class Waiting(Protocol):
    """A connection whose answer waits."""

    @property
    def unread_bytes(self) -> int:
        """What is held for its reader."""

    def cut_off(self) -> None:
        """Ends the connection and frees what it holds."""


class Unread:
    """The answers that a process holds for readers who take no more now, up to `room` bytes.

    Beyond that who has taken nothing for the longest time is cut off, but never the last one: an answer may be larger.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._since: dict[Waiting, float] = {}
        self._held: dict[Waiting, int] = {}
        self._sum = 0
        self._timer: asyncio.TimerHandle | None = None

    def begins(self, connection: Waiting) -> None:
        """Its reader takes no more now."""
        self._since[connection] = asyncio.get_running_loop().time()
        self._held[connection] = connection.unread_bytes
        self._sum += self._held[connection]
        if self._sum > self._room and self._timer is None:
            self._make_room()

    def ends(self, connection: Waiting) -> None:
        """Its reader has taken some, or the connection has ended."""
        self._since.pop(connection, None)
        self._sum -= self._held.pop(connection, 0)

    def _make_room(self) -> None:
        """Cuts off who has waited longest; looks again when the next has waited long enough."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._held = {waiting: waiting.unread_bytes for waiting in self._since}  # some may have been taken meanwhile
        self._sum = sum(self._held.values())
        for waiting, since in list(self._since.items())[:-1]:
            if self._sum <= self._room:
                return
            if now - since < GRACE_SECONDS:
                self._timer = loop.call_at(max(since + GRACE_SECONDS, now + _LOOK_SECONDS), self._make_room)
                return
            self.ends(waiting)
            waiting.cut_off()
