"""Connections that wait for a request, in the supervisor: who gets each is decided when its first bytes are there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from pixelserve.callers import IDLE_SECONDS

PING = b"GET /ping"
_EMPTY_LINES = b"\r\n"
"""They mean nothing before a request (RFC 9112, 2.2), and nobody waits longer for what comes after them."""
_PEEKED_BYTES = 64
_SWEEP_SECONDS = 1.0


class WaitingConnections:
    """Connections that nobody reads. `arrived(connection, slot, is_ping)` is called when a request begins on one,
    `gone(connection, slot)` when its caller has hung up or has been silent for too long.
    """

    def __init__(
        self,
        arrived: Callable[[socket.socket, int, bool], None],
        gone: Callable[[socket.socket, int], None],
    ) -> None:
        self._arrived = arrived
        self._gone = gone
        self._held: dict[int, tuple[socket.socket, float, float]] = {}
        self._loop = asyncio.get_running_loop()
        self._sweep()

    def add(self, connection: socket.socket, slot: int, seconds: float) -> None:
        """Waits for its next request, at most `seconds`."""
        now = self._loop.time()
        self._held[slot] = connection, now, now + seconds
        self._loop.add_reader(connection, self._look, slot)

    def _look(self, slot: int) -> None:
        connection, *_ = self._held[slot]
        first = first_bytes(connection)
        if first is None:  # a wake-up for nothing
            return
        begun = first.lstrip(_EMPTY_LINES)
        if begun:
            is_ping = begun[: len(PING)] == PING and begun[len(PING) : len(PING) + 1] in (b" ", b"?")
            self._arrived(self._take(slot), slot, is_ping)
        elif first:
            with contextlib.suppress(OSError):  # it breaks just now
                connection.recv(len(first))
        else:
            self._gone(self._take(slot), slot)

    def _take(self, slot: int) -> socket.socket:
        connection, *_ = self._held.pop(slot)
        self._loop.remove_reader(connection)
        return connection

    def _sweep(self) -> None:
        now = self._loop.time()
        for slot in [slot for slot, (_, _, until) in self._held.items() if until < now]:
            self._gone(self._take(slot), slot)
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def end_longest(self) -> bool:
        """Ends the one that has waited longest, if it is idle for a while; False where there is none."""
        latest = self._loop.time() - IDLE_SECONDS
        for slot, (connection, since, _) in self._held.items():
            if since > latest:
                return False
            if first_bytes(connection) is None:
                self._gone(self._take(slot), slot)
                return True
        return False

    def take_all(self) -> list[tuple[socket.socket, int]]:
        """All of them; nobody waits for them any more."""
        return [(self._take(slot), slot) for slot in list(self._held)]


def first_bytes(connection: socket.socket) -> bytes | None:
    """What a caller has sent and nobody has read, enough to know `/ping`: empty at its end, None before anything."""
    try:
        return connection.recv(_PEEKED_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def hang_up(connection: socket.socket) -> None:
    """Closes the connection also where children of its worker still hold it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
