"""Threads for what blocks: the job store and the results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from pixelserve.errors import Unavailable

logger = logging.getLogger("pixelserve_gateway")

RETRY_SECONDS = 5
P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A few threads. Few: each has a connection to the store, and writers of SQLite wait for each other anyway."""

    def __init__(self, number: int = 8) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="jobs")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function answers, called on a thread.

        Why a store does not do its work goes into the log: it names folders, buckets and tables, which is nobody's
        business who calls. Raises Unavailable without it.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))
        except Unavailable as error:
            logger.error(error.message)
            raise Unavailable(
                "The gateway's store does not do its work now. Try again later.", retry_after=RETRY_SECONDS
            ) from error

    def close(self) -> None:
        """Waits for what runs."""
        self._pool.shutdown()
