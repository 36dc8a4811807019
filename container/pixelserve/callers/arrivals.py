"""Bodies on their way: each must arrive in time, and there is room for so much of them at once."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from pixelserve.errors import PixelserveError, RequestTimeout

_RETRY_SECONDS = 1
_HALF_LIFE = 0.5
"""Seconds after which what has come counts half in a body's pace, so that little is left of it after a few."""


class Arrivals:
    """The bodies that a process reads.

    A body has `seconds`, and a second more for each `rate` bytes that are there; else its reader gets RequestTimeout.
    What has arrived counts while it is held, up to `most` bytes of each, since no more is kept. Beyond `room` bytes
    those on their way that hold much are refused with `no_room`, the slowest of late first; where they do not hold
    enough, the one that has grown is.
    """

    def __init__(self, seconds: float, rate: int, most: int, room: int, no_room: type[PixelserveError]) -> None:
        self.seconds = seconds
        self.rate = rate
        self.most = most
        self._room = room
        self._no_room = no_room
        self._arriving: set[Arriving] = set()
        self._held = 0

    @contextlib.contextmanager
    def hold(self, receive: Any) -> Iterator[Arriving]:
        """A body that ASGI's `receive` gives; its room is free again in the end."""
        body = Arriving(self, receive)
        self._arriving.add(body)
        try:
            yield body
        finally:
            self._release(body)

    def make_room(self, body: Arriving) -> None:
        """Counts what has arrived of a body. Raises its refusal, where that is what makes room."""
        if body.is_whole:
            self._arriving.discard(body)
        self._held += body.count_news()
        if self._held > self._room:
            for refused in self._choose(self._held - self._room) or [body]:
                self._release(refused)
                refused.refuse(
                    self._no_room(
                        "There is no room for the body now. Try again in a moment.", retry_after=_RETRY_SECONDS
                    )
                )
        if body.refusal is not None:
            raise body.refusal

    def _choose(self, size: int) -> list[Arriving]:
        """The slowest that hold so many bytes together, none of them less than half of what each holds on average."""
        arriving = [body for body in self._arriving if body.held]
        least = sum(body.held for body in arriving) / (2 * len(arriving) or 1)
        large = sorted((body for body in arriving if body.held >= least), key=Arriving.pace)
        held = list(itertools.accumulate(body.held for body in large))
        return large[: bisect.bisect_left(held, size) + 1] if held and held[-1] >= size else []

    def _release(self, body: Arriving) -> None:
        self._arriving.discard(body)
        self._held -= body.held
        body.held = 0


class ArrivalsMiddleware:
    """ASGI middleware around a whole application, whose bodies count until their requests are answered.

    An answer that comes before the whole body closes the connection.
    """

    def __init__(self, app: Any, arrivals: Arrivals) -> None:
        self._app = app
        self._arrivals = arrivals

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        with self._arrivals.hold(receive) as body:

            async def send_closing(message: Any) -> None:
                if message["type"] == "http.response.start" and not body.is_whole:
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
                await send(message)

            await self._app(scope, body.receive, send_closing)


class Arriving:
    """One body. `held` are the bytes of it that are counted."""

    def __init__(self, arrivals: Arrivals, receive: Any) -> None:
        self._arrivals = arrivals
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None
        self._size = 0
        self._recent = 0.0
        self._recent_at = 0.0
        self._timeout: asyncio.Timeout | None = None
        self.held = 0
        self.is_whole = False
        self.refusal: PixelserveError | None = None

    async def receive(self) -> Any:
        """The next message of ASGI. Raises RequestTimeout, or what the body was refused with."""
        if self.is_whole:
            return await self._receive()
        if self._began is None:
            self._began = self._loop.time()
        seconds = self._arrivals.seconds + self._size / self._arrivals.rate
        try:
            async with asyncio.timeout_at(self._began + seconds) as self._timeout:
                message = await self._receive()
        except TimeoutError:
            raise self.refusal or RequestTimeout(
                f"The body came too slowly: {self._size:,} bytes in {seconds:.0f} s. Send it again, or a smaller one."
            ) from None
        size = len(message.get("body", b""))
        self._size += size
        self.is_whole = message["type"] == "http.disconnect" or not message.get("more_body", False)
        if not self.is_whole:
            self._count_recent(size)
        self._arrivals.make_room(self)
        return message

    def count_news(self) -> int:
        """The bytes that have come since this was last asked, and that are kept."""
        if self.refusal is not None:
            return 0
        before, self.held = self.held, min(self._size, self._arrivals.most)
        return self.held - before

    def pace(self) -> float:
        """Bytes a second of late, once some have come; of one that has stopped they are fewer every moment."""
        assert self._began is not None
        self._count_recent(0)
        return self._recent / min(max(self._recent_at - self._began, 0.001), _HALF_LIFE)

    def _count_recent(self, size: int) -> None:
        now = self._loop.time()
        self._recent = self._recent * 0.5 ** ((now - self._recent_at) / _HALF_LIFE) + size
        self._recent_at = now

    def refuse(self, error: PixelserveError) -> None:
        """Makes the wait for the next message end with the error."""
        self.refusal = error
        if self._timeout is not None:
            with contextlib.suppress(RuntimeError):  # nobody waits
                self._timeout.reschedule(self._loop.time())


def _has_body(scope: Any) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or bool(headers.get(b"content-length", b"").strip(b"0"))
