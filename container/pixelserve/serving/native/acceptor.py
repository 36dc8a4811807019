"""The listening socket: accepts connections while there are free slots for them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable

from pixelserve import machine, wire
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.server")

MOST_CONNECTIONS = 4096
LOOK_SECONDS = 0.1
"""Between two looks for an idle connection while no slot is free."""


class Acceptor:
    """Passes each connection on as `taken(connection, slot)`; a slot is free again after `release`.

    While no slot is free, `end_idle()` is called now and then: it ends a connection that waits for a request, and says
    whether there was one. After a look for none it is not called before LOOK_SECONDS, since it walks all connections.
    """

    def __init__(
        self, listener: socket.socket, taken: Callable[[socket.socket, int], None], end_idle: Callable[[], bool]
    ) -> None:
        self.slots = min(
            MOST_CONNECTIONS, machine.raise_file_limit() // 3
        )  # two each, and what the process itself opens
        self._listener = listener
        self._taken = taken
        self._end_idle = end_idle
        self._looking: asyncio.TimerHandle | None = None
        self._has_found = True
        self._free = deque(range(self.slots))
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._accept)

    def _accept(self) -> None:
        while self._free:
            try:
                connection, _address = self._listener.accept()
            except OSError:  # none left, or it went away again
                return
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._taken(connection, self._free.popleft())
        self._loop.remove_reader(self._listener)  # until a connection closes
        if self._has_found or self._looking is None:
            self._make_room()

    def _make_room(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if not self._free and not self._closed:
            self._looking = self._loop.call_later(LOOK_SECONDS, self._make_room)
            self._has_found = self._end_idle()

    def release(self, slot: int) -> None:
        """The connection of this slot has ended."""
        self._free.append(slot)
        if len(self._free) == 1 and not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Takes the connections that callers have made already, then refuses further ones."""
        self._accept()
        self._closed = True
        self._loop.remove_reader(self._listener)
        self._listener.close()


def open_listener(config: Settings) -> socket.socket:
    """The listening socket that the settings name. Raises Unavailable when it cannot be had."""
    listener = wire.bind(config.host, config.port, "Set SAGEMAKER_BIND_TO_PORT to a free port.")
    listener.setblocking(False)
    address = listener.getsockname()
    logger.info("listening on %s", address if isinstance(address, str) else f"{address[0]}:{address[1]}")
    return listener
