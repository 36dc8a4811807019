"""HTTP connections on sockets that the supervisor accepted: uvicorn's protocol, and the host of a process's own.

The supervisor keeps a duplicate of each socket it hands to a worker. That is what lets it answer in place of a worker
that died, and it is why the server is built on uvicorn: its protocol runs on any accepted socket.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pixelserve.serving.board import ANSWERING, BUSY, IDLE, Board

KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time of common HTTP clients and proxies, so that it is they who close first."""

App = Callable[["Connection", Any, Any, Any], Awaitable[None]]


class Host:
    """The connections of one process. `closed(slot)` is called when one has ended."""

    def __init__(self, app: App, board: Board, closed: Callable[[int], None]) -> None:
        self.app = app
        self.board = board
        self.closed = closed
        self.draining = False
        self.state = ServerState()
        self.config = Config(
            app=_unused,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self.config.load()
        self._loop = asyncio.get_running_loop()
        self._adoptions: set[asyncio.Task[Any]] = set()
        self._set_date()

    def _set_date(self) -> None:
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._loop.call_later(1.0, self._set_date)

    def adopt(self, accepted: socket.socket, slot: int) -> None:
        """Serves HTTP on an accepted socket until it closes."""
        adoption = self._loop.create_task(self._loop.connect_accepted_socket(lambda: Connection(self, slot), accepted))
        self._adoptions.add(adoption)
        adoption.add_done_callback(self._adoptions.discard)

    async def drain(self, seconds: float, linger: float = 1.0) -> None:
        """Lets every request in work be answered, and those that idle connections still send within `linger` seconds.

        Returns when no connection is left or `seconds` have passed.
        """
        self.draining = True
        deadline = self._loop.time() + seconds
        close_idle_at = self._loop.time() + min(linger, seconds / 2)
        while self.state.connections and self._loop.time() < deadline:
            if self._loop.time() >= close_idle_at:
                for connection in list(self.state.connections):
                    connection.shutdown()
            await asyncio.sleep(0.02)


async def _unused(_scope: Any, _receive: Any, _send: Any) -> None:
    """uvicorn wants an app in its configuration; each connection brings its own."""


class Connection(HttpToolsProtocol):
    """Marks on the board what it is doing, and tells the request in work when its caller has gone."""

    def __init__(self, host: Host, slot: int) -> None:
        super().__init__(host.config, host.state, {})
        self.host = host
        self.slot = slot
        self.app = partial(host.app, self)
        self.on_client_gone: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.host.board[self.slot] == IDLE:
            self.host.board[self.slot] = BUSY
        super().data_received(data)

    def answer_begins(self) -> None:
        """Called before the first byte of an answer is written."""
        self.host.board[self.slot] = ANSWERING

    def on_response_complete(self) -> None:
        self.host.board[self.slot] = BUSY if self.pipeline else IDLE
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.host.board[self.slot] = IDLE
        if self.on_client_gone is not None:
            self.on_client_gone()
        self.host.closed(self.slot)
