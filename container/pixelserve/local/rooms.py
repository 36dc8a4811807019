"""Places at a server for several at once, or for one alone: so it is found which of them kills its worker.

What was in a worker as it died is sent again when nothing else is there. Then only what kills its worker is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

from pixelserve.errors import PixelserveError, WorkerLost


def is_lost(error: PixelserveError) -> bool:
    """Whether a server answered that the request was in a worker that died."""
    return error.code == WorkerLost.code


class Room:
    """For threads: `places` of them share it, or one is alone. Who wants to be alone goes before who comes later."""

    def __init__(self, places: int) -> None:
        self._count = places
        self._places = threading.Semaphore(places)
        self._door = threading.Lock()

    @contextlib.contextmanager
    def enter(self, alone: bool = False) -> Iterator[None]:
        wanted = self._count if alone else 1
        with self._door:
            for _ in range(wanted):
                self._places.acquire()
        try:
            yield
        finally:
            self._places.release(wanted)


class AsyncRoom:
    """The same for the tasks of an event loop."""

    def __init__(self, places: int) -> None:
        self._count = places
        self._places = asyncio.Semaphore(places)
        self._door = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def enter(self, alone: bool = False) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as places:
            async with self._door:
                for _ in range(self._count if alone else 1):
                    await places.enter_async_context(self._places)
            yield
