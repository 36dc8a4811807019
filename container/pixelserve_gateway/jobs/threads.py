"""Threads for what blocks: readers of the job store, its writers, and files, so that no kind waits for another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from pixelserve.errors import Unavailable

logger = logging.getLogger("pixelserve_gateway")

RETRY_SECONDS = 5
PATIENCE = 3.0
"""Seconds: a request waits for a place until the store has been silent for so long."""
_MESSAGE = "The gateway's store does not do its work now. Try again later."
P = ParamSpec("P")
T = TypeVar("T")


class NoPlace(Unavailable):
    """No thread was free for the work: nothing of it was done."""


class Threads:
    """A few threads of each kind. Few: each has a connection to the store, and SQLite's writers go one by one anyway.

    Why a store does not do its work goes into the log: it names folders, buckets and tables, which is nobody's business
    who calls. Everything raises Unavailable without it.
    """

    def __init__(self) -> None:
        self._readers = _Pool("readers", 8)
        self._writers = _Pool("writers", 4)
        self._filers = _Pool("filers", 8)

    @property
    def silence(self) -> float:
        """Seconds for which readers or writers of the store have waited for any answer."""
        return max(self._readers.silence, self._writers.silence)

    def check_writers(self) -> None:
        """Raises Unavailable where `write_now` would at once, for who has much to do before."""
        self._writers.check()

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function answers, which only reads the store. Waits for a place as `write_now` does."""
        return await self._readers.run(partial(function, *args, **kwargs))

    async def write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function answers, which may write to the store. Waits for a place as long as that takes."""
        return await self._writers.run(partial(function, *args, **kwargs), waits_on=True)

    async def write_now(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for who cannot wait: NoPlace when none is free and the store has been silent for PATIENCE."""
        return await self._writers.run(partial(function, *args, **kwargs))

    async def files(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function answers, which reads or writes inputs, results or uploads."""
        return await self._filers.run(partial(function, *args, **kwargs), waits_on=True)

    def close(self) -> None:
        """Waits for what runs."""
        for pool in (self._readers, self._writers, self._filers):
            pool.close()


class _Pool:
    """So many threads, and those who wait for one."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(number, thread_name_prefix=name)
        self._places = asyncio.Semaphore(number)
        self._in_work = 0
        self._since = 0.0

    @property
    def silence(self) -> float:
        """Seconds since the last answer, or since there is something to be answered. An Unavailable is no answer."""
        return time.monotonic() - self._since if self._in_work else 0.0

    @property
    def patience(self) -> float:
        """Seconds until the silence is too long."""
        return max(PATIENCE - self.silence, 0.0)

    def check(self) -> None:
        if self._places.locked() and not self.patience:
            raise NoPlace(_MESSAGE, retry_after=RETRY_SECONDS)

    async def run(self, work: Callable[[], T], *, waits_on: bool = False) -> T:
        """What the work answers, called on a thread. Raises NoPlace, unless it `waits_on`."""
        if waits_on or not self._places.locked():
            await self._places.acquire()
        else:
            await self._stand_in_line()
        try:
            return await to_the_end(self._call(work))  # who goes away leaves a thread in work, and its place taken
        except Unavailable as error:
            logger.error(error.message)
            raise Unavailable(_MESSAGE, retry_after=RETRY_SECONDS) from error

    def close(self) -> None:
        self._threads.shutdown()

    async def _stand_in_line(self) -> None:
        """Takes a place. Raises NoPlace once the silence is too long; while the line moves on, it waits."""
        taking = asyncio.create_task(self._places.acquire())
        try:
            while not taking.done():
                await asyncio.wait([taking], timeout=self.patience)
                if not taking.done() and not self.patience:
                    logger.error("The job store has not answered its %s for %.1f s.", self._name, self.silence)
                    raise NoPlace(_MESSAGE, retry_after=RETRY_SECONDS)
        except (NoPlace, asyncio.CancelledError):
            if not taking.cancel():
                self._places.release()
            raise

    async def _call(self, work: Callable[[], T]) -> T:
        if not self._in_work:
            self._since = time.monotonic()
        self._in_work += 1
        is_answered = True
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Unavailable:
            is_answered = False
            raise
        finally:
            if is_answered:
                self._since = time.monotonic()
            self._in_work -= 1
            self._places.release()


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work answers. It goes on to its end when whoever asked for it is canceled; then nobody hears of it."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # else it is logged as not looked at
    return await asyncio.shield(task)
