"""HTTP connections on sockets that the supervisor accepted: uvicorn's protocol, and the host of a process's own.

The supervisor keeps a duplicate of each socket it hands to a worker. That is what lets it answer in place of a worker
that died, and it is why the server is built on uvicorn: its protocol runs on any accepted socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.server import ServerState

from pixelserve import callers
from pixelserve.errors import PixelserveError
from pixelserve.serving.answers import Buffer
from pixelserve.serving.native.board import ANSWERING, BUSY, IDLE, TAKEN, Board
from pixelserve.settings import Settings

RETURN_SECONDS = 0.1
"""A connection that is idle for this long goes back to the process that accepted it, which can answer when this one
cannot."""
JOINED_BYTES = 16_384
"""A larger body is not copied to be written together with its head."""


class App(Protocol):
    """What answers the requests of a connection."""

    async def __call__(self, caller: Connection, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI."""

    def refused(self, status: int) -> None:
        """Called with the status of an answer that it has not made."""


class Host:
    """The connections of one process. `closed(slot)` is called when one has ended.

    With `returned`, one that has been idle for RETURN_SECONDS ends here, open as it is, and `returned(slot)` is called:
    another process has its socket too. Without it, it is closed after `keep_alive_seconds` of the settings.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        board: Board,
        closed: Callable[[int], None],
        returned: Callable[[int], None] | None = None,
    ) -> None:
        self.app = app
        self.board = board
        self.closed = closed
        self.returned = returned
        self.seconds = settings.silence_seconds
        self.unread = callers.Unread(settings.max_body_bytes * settings.queue_length)
        self.rate = settings.arrival_rate
        self.draining = False
        self.state = ServerState()
        self.config = Config(
            app=_unused,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=settings.keep_alive_seconds,
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

    def end_idle(self) -> bool:
        """Ends the connection that has waited longest for a request; False where there is none."""
        return callers.end_longest_idle(self.state.connections)

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


class _AnswerTransport:
    """Writes the head of an answer together with the first of its body, in one packet where that is small.

    It is the transport of uvicorn's cycle, which writes the head first. `leaves` is called as the first byte leaves.
    """

    def __init__(self, transport: asyncio.Transport, leaves: Callable[[], None]) -> None:
        self._under = transport
        self._leaves = leaves
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: Buffer) -> None:
        if not self._has_begun:
            self._has_begun, self._head = True, bytes(data)
        elif self._head is not None and len(data) <= JOINED_BYTES:
            whole, self._head = self._head + data, None
            self._leaves()
            self._under.write(whole)
        else:
            self.flush()
            self._under.write(data)

    def flush(self) -> None:
        """Writes a head that has no body."""
        if self._head is not None:
            self._leaves()
            self._under.write(self._head)
            self._head = None

    def is_closing(self) -> bool:
        return self._under.is_closing()

    def close(self) -> None:
        self.flush()
        self._under.close()


class Connection(callers.Connection):
    """Marks on the board what it is doing, and tells the request in work when its caller has gone."""

    def __init__(self, host: Host, slot: int) -> None:
        super().__init__(
            host.seconds,
            host.rate,
            host.board.slots,
            host.unread,
            config=host.config,
            server_state=host.state,
            app_state={},
        )
        self._answer_bytes = 0
        self.host = host
        self.slot = slot
        self.app = partial(host.app, self)
        if host.returned is not None:
            self.timeout_keep_alive = RETURN_SECONDS  # type: ignore[assignment]  # uvicorn's own is in whole seconds
        self._is_returned = False
        self._on_caller_gone: Callable[[], None] | None = None
        self._in_request = False
        self._answer: _AnswerTransport | None = None

    def data_received(self, data: bytes) -> None:
        if not self._in_request:
            data = data.lstrip(b"\r\n")  # empty lines before a request mean nothing (RFC 9112, 2.2)
            if not data:
                return
        if not self.transport.is_closing():
            state = self.host.board[self.slot]
            if state == TAKEN:
                self.transport.abort()
                return
            if state == IDLE:
                self.host.board[self.slot] = BUSY
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_request = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._in_request = False
        super().on_message_complete()

    def refused(self, status: int) -> None:
        self.host.app.refused(status)

    def _refuse(self, error: PixelserveError) -> None:
        self.host.board[self.slot] = ANSWERING
        super()._refuse(error)

    @property
    def is_draining(self) -> bool:
        """Whether the next answer is the last one on this connection, as one is that comes before the whole body."""
        return self.host.draining or self.is_body_coming

    def abort(self) -> None:
        """Cuts the connection in the middle of an answer."""
        self.cycle.disconnected = True  # so that uvicorn does not miss the rest
        self.transport.abort()

    @contextlib.contextmanager
    def watch(self, on_gone: Callable[[], None]) -> Iterator[None]:
        """While entered, `on_gone` is called when the caller hangs up; what it sends meanwhile is read."""
        self.flow.resume_reading()
        self._on_caller_gone = on_gone
        if self.transport.is_closing():
            on_gone()
        try:
            yield
        finally:
            self._on_caller_gone = None

    @property
    def unread_bytes(self) -> int:
        """What is held of answers that have begun: all of one, since it is written as its reader takes it."""
        return max(self._answer_bytes, super().unread_bytes)

    def answer_begins(self, size: int) -> None:
        """Called before the first byte of an answer is written."""
        self._answer_bytes = size
        if self.pipeline:  # the cycle is a later request's
            self._mark_answering()
        else:
            self._answer = _AnswerTransport(self.transport, self._mark_answering)
            self.cycle.transport = self._answer  # type: ignore[assignment]

    def _mark_answering(self) -> None:
        """As late as can be: a worker that dies after it has marked this leaves its caller without an answer.

        The answer goes nowhere where the supervisor has answered.
        """
        if self.host.board[self.slot] == TAKEN:
            self.abort()
        else:
            self.host.board[self.slot] = ANSWERING

    def on_response_complete(self) -> None:
        self._answer_bytes = 0
        if self._answer is not None:
            self._answer.flush()
        super().on_response_complete()
        self._settle()

    def _settle(self) -> None:
        """Marks the connection idle once the last byte of its answer has left."""
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(0.05, self._settle)
        else:
            is_idle = self.cycle.response_complete and not self.pipeline
            if is_idle or not self.cycle.response_started:  # else the next answer has begun meanwhile
                self.host.board[self.slot] = IDLE if is_idle else BUSY

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn calls it when the connection has been idle for a while, or its answer is on the way still."""
        if self.transport.is_closing():
            return
        if self.host.returned is not None and (self.host.draining or self.transport.get_write_buffer_size()):
            if not self.host.draining:
                self._await_request()
            return
        self._is_returned = self.host.returned is not None
        super().timeout_keep_alive_handler()  # closes this process's copy of the socket, which ends nothing

    def _await_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.host.board[self.slot] = IDLE
        if self._on_caller_gone is not None:
            self._on_caller_gone()
        if self._is_returned and exc is None and self.host.returned is not None:
            self.host.returned(self.slot)
        else:
            self.host.closed(self.slot)
