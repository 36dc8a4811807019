"""An answer that is made while it is sent: from a handler's iterator, on its thread, to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager

from pixelserve.errors import ClientGone, DeadlineExceeded
from pixelserve.serving.answers import Buffer

MOST_SECONDS = 480.0
"""SageMaker gives a streamed answer 8 minutes."""
MOST_BUFFERED_BYTES = 16 << 20
"""What may wait for a slow reader before the handler has to."""
PATIENCE_SECONDS = 5.0
LEAST_RATE = 1 << 20
"""While others wait, a reader may hold the handler up for so long, and a second more for each so many bytes."""
_LOOK_SECONDS = 0.5


class Rest(ABC):
    """The parts of an answer that are sent as they come, after those that it has."""

    whole_bytes: int | None = None
    """Of the whole answer, where that is known before."""
    most_buffered: int
    """Bytes that may wait here for its reader."""

    @abstractmethod
    def cancel(self) -> None:
        """Nobody reads any more."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Buffer]:
        """The parts. Raises why there are no more of them."""


class Stream(Rest):
    """What a handler makes. `feed` is called on the handler's thread, all else on the event loop."""

    most_buffered = MOST_BUFFERED_BYTES

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parts: asyncio.Queue[Buffer | BaseException | None] = asyncio.Queue()
        self._waiting = 0
        self._taken = 0
        self._held_up = 0.0
        self._has_room = threading.Event()
        self._has_room.set()
        self._is_cancelled = False

    def feed(
        self,
        parts: Iterator[Buffer],
        watch_call: Callable[[], AbstractContextManager[None]],
        do_others_wait: Callable[[], bool],
    ) -> None:
        """Hands the parts over as they come. Each step of the handler's is entered by `watch_call`.

        Ends early when nobody reads any more, or too slowly while others wait. What the handler raises is raised where
        the parts are read.
        """
        deadline = time.monotonic() + MOST_SECONDS
        last: BaseException | None = None
        try:
            with contextlib.closing(parts) if isinstance(parts, Generator) else contextlib.nullcontext():
                while True:
                    with watch_call():
                        part = next(parts, None)
                    if part is None:
                        break
                    self._wait_for_room(deadline, do_others_wait)
                    self._loop.call_soon_threadsafe(self._put, part)
        except BaseException as error:  # noqa: BLE001  a user's code may raise anything
            last = error
        self._loop.call_soon_threadsafe(self._parts.put_nowait, last)

    def _wait_for_room(self, deadline: float, do_others_wait: Callable[[], bool]) -> None:
        """Raises ClientGone when nobody reads any more, DeadlineExceeded when the reader is too slow."""
        while not self._has_room.is_set():
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"The answer was not read within {MOST_SECONDS:.0f} s.")
            began = time.monotonic()
            self._has_room.wait(_LOOK_SECONDS)
            self._held_up += time.monotonic() - began
            if self._held_up > PATIENCE_SECONDS + self._taken / LEAST_RATE and do_others_wait():
                raise DeadlineExceeded("The answer was read too slowly while others waited.")
        if self._is_cancelled:
            raise ClientGone("The client closed the connection.")

    def _put(self, part: Buffer) -> None:
        self._waiting += memoryview(part).nbytes
        if self._waiting > MOST_BUFFERED_BYTES:
            self._has_room.clear()
        self._parts.put_nowait(part)

    def cancel(self) -> None:
        self._is_cancelled = True
        self._has_room.set()

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        """Raises what the handler raised."""
        while (part := await self._parts.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            size = memoryview(part).nbytes
            self._waiting -= size
            self._taken += size
            if self._waiting <= MOST_BUFFERED_BYTES:
                self._has_room.set()
            yield part
