"""Connections that hold nothing for long: uvicorn's protocol, with deadlines, limits and errors of our shape.

uvicorn has none of these for a head that never ends, for trailers, and for an answer that nobody reads.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import uuid
from collections.abc import Iterable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from pixelserve.callers.reader import Reader
from pixelserve.callers.unread import Unread
from pixelserve.errors import BadRequest, HeadTooLarge, PixelserveError, RequestTimeout, Unavailable
from pixelserve.wire import HEAD_BYTES, closing_answer

logger = logging.getLogger("pixelserve.callers")

LINGER_SECONDS = 5.0
"""For reading and dropping what a caller still sends after its answer: a connection closed before would lose that."""
IDLE_SECONDS = 1.0
"""Nobody who has waited for less makes room for others: a caller may be slow to begin, or to send a head."""
_RETRY_SECONDS = 1
_AT_ONCE = struct.pack("ii", 1, 0)
"""Of SO_LINGER: the kernel keeps nothing of an answer either."""
_VERSIONS = ("1.1", "1.0")
_FIELD_BYTES = len(b": \r\n")
_UPGRADE = (b"connection", b"upgrade", b"http2-settings")
"""Headers that ask for another protocol."""


class Connection(HttpToolsProtocol):
    """One of at most `most`. A further one takes the place of one that waits; else as many get 503, and more nothing.

    A head must be there within `seconds`, and an answer be read at `rate` bytes a second, looked at so often. `unread`
    counts what waits for slow readers. Offers of another protocol are declined by going on with this one (RFC 9110,
    7.8).
    """

    def __init__(self, seconds: float, rate: int, most: int, unread: Unread, **given: Any) -> None:
        super().__init__(**given)
        self._unread = unread
        self._seconds = seconds
        self._least_read = int(seconds * rate)
        self._most = most
        self._working: RequestResponseCycle | None = None
        self._in_head = False
        self._unparsed = 0
        self.idle_since = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = _LingeringTransport(transport, self)
        self._reader = Reader(self._lingering, self._seconds, self._least_read, self.cut_off)
        super().connection_made(cast("asyncio.Transport", self._lingering))
        self.flow = _Flow(self)
        if len(self.connections) > 2 * self._most:
            self.transport.abort()
        elif len(self.connections) > self._most and not end_longest_idle(self.connections):
            self._refuse(Unavailable("Too many connections are open here. Try again.", retry_after=_RETRY_SECONDS))
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_work()
        self._unread.ends(self)
        super().connection_lost(exc)
        self._reader.leave()
        for timer in (self._head_timer, self._lingering.timer):
            if timer is not None:
                timer.cancel()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # what comes after the last answer
            return
        if self.is_waiting:
            self.idle_since = self.loop.time()  # for the rest of the head
        self._unparsed += len(data)
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(data)
        except HttpParserError as error:
            raised = error.__context__  # by one of the methods below
            garbage = BadRequest("This is no request of HTTP/1.1.")
            self._refuse(raised if isinstance(raised, PixelserveError) else garbage)
        if self.transport.is_closing():
            return
        if self._unparsed > HEAD_BYTES:
            self._refuse(_head_too_large())
        elif self.is_idle and self._head_timer is None:
            self._await_head()

    def _parse(self, data: bytes) -> bytes:
        """Parses it. Of what is left at an offer to upgrade, the request without its offer and what came after."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self.transport.is_closing():
                return self._decline_upgrade() + data[upgrade.args[0] :]
        return b""

    def _decline_upgrade(self) -> bytes:
        """The head of the request without its offer, for a new parser."""
        kept = [(name, value) for name, value in self.headers if name not in _UPGRADE]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            kept.append((b"connection", b"close"))
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % field for field in kept]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def is_idle(self) -> bool:
        """Whether no request is in work."""
        return self._working is None or self._working.response_complete

    @property
    def is_waiting(self) -> bool:
        """Whether nothing of a request, or of the next one, is there."""
        return self.is_idle and not self._unparsed and not self.transport.is_closing()

    @property
    def is_body_coming(self) -> bool:
        """Whether the rest of the body of the request in work, or of the last one, is on its way."""
        return self._working is not None and self._working.more_body

    def _end_work(self) -> None:
        """Lets the request in work know that its caller has gone; uvicorn tells the last one that was sent."""
        if self._working is not None and not self._working.response_complete:
            self._working.disconnected = True
            self._working.message_event.set()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._seconds, self._end_late_head)

    def _end_late_head(self) -> None:
        if self._in_head:
            self._refuse(RequestTimeout(f"The request's head did not arrive within {self._seconds:g} s."))
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are no headers: nothing before us has seen them
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in _VERSIONS:
            raise ValueError("another version")  # the parser refuses the request then
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value) + _FIELD_BYTES
            hosts += name == b"host"
        if size > HEAD_BYTES:  # it ends within one read, of which nothing has been counted yet
            raise _head_too_large()
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError("no host, or several (RFC 9112, 3.2)")
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return  # it is read again without the offer
        self._in_head = False
        self._unparsed = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()
        if not self.pipeline:
            self._working = self.cycle

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        if not self._in_head:
            super().on_message_complete()

    def _refuse(self, error: PixelserveError) -> None:
        """Answers what has not become a whole request, and closes."""
        request_id = uuid.uuid4().hex
        logger.info("refused", extra={"fields": {"request_id": request_id, "status": error.status, "code": error.code}})
        if self._working is not None and self._working.response_started and not self._working.response_complete:
            self.transport.abort()
            return
        self._end_work()
        self.refused(error.status)
        self.transport.write(closing_answer(error, request_id))
        self._lingering.linger()

    def refused(self, status: int) -> None:
        """Called with the status of an answer that no application makes."""

    # Writing

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._working = self.pipeline[-1][0]
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if not self._reader.is_watched and self.transport.get_write_buffer_size():
            self._reader.watch()  # the end of an answer that is too short for a pause
        if self._in_head and self.is_idle and self._head_timer is None:
            self._await_head()  # a head that has begun meanwhile

    @property
    def unread_bytes(self) -> int:
        """What is held of answers that have begun."""
        return self.transport.get_write_buffer_size()

    def cut_off(self) -> None:
        """Ends the connection; the kernel drops what it holds of an answer."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.begins(self)
        self._reader.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread.ends(self)
        self._reader.leave()


def end_longest_idle(connections: Iterable[Any]) -> bool:
    """Closes the connection that has waited longest for a request, else for the rest of a head; False for none."""
    latest = asyncio.get_running_loop().time() - IDLE_SECONDS
    late = (each for each in connections if each.idle_since <= latest and each.is_idle)
    waiting: Iterable[Connection] = (each for each in late if not each.transport.is_closing())
    longest = min(waiting, key=lambda each: (not each.is_waiting, each.idle_since), default=None)
    if longest is None:
        return False
    longest.transport.close()
    return True


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The request line and headers are larger than {HEAD_BYTES:,} bytes.")


class _Flow(FlowControl):
    """Reads nothing while whole requests wait for their turn: uvicorn would read more with each that is answered."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.transport)
        self._waiting = connection.pipeline

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class _LingeringTransport:
    """The transport of a connection. After its `close` the caller may read its answer, which sends more as yet."""

    def __init__(self, under: asyncio.Transport, connection: Connection) -> None:
        self._under = under
        self._connection = connection
        self.get_write_buffer_size = under.get_write_buffer_size
        self.written = 0
        self.timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

    def write(self, data: bytes | memoryview) -> None:
        self.written += len(data)
        self._under.write(data)

    def is_closing(self) -> bool:
        return self.timer is not None or self._under.is_closing()

    def close(self) -> None:
        if self._connection.is_idle and self._connection.is_body_coming and not self.is_closing():
            self.linger()
        elif self.timer is None:
            self._under.close()

    def linger(self) -> None:
        """Ends the writing side; the connection drops what it reads, until its caller closes it or time is over."""
        FlowControl.resume_reading(self._connection.flow)
        if self._under.can_write_eof():
            self._under.write_eof()
        self.timer = self._connection.loop.call_later(LINGER_SECONDS, self._under.abort)
