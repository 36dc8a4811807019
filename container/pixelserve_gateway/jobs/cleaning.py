"""Removes objects that nobody needs any more, in portions, beside all other work."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

from pixelserve.errors import PixelserveError, Unavailable
from pixelserve_gateway.jobs.threads import Threads
from pixelserve_gateway.results import Results

logger = logging.getLogger("pixelserve_gateway")

IsNeedless = Callable[[str, float], bool]
"""Whether the object of a name is needed no more at that Unix time. It may block, and be Unavailable."""

INTERVAL = 3_600.0
"""Seconds from one look at all objects to the next."""
_PORTION = 200


class Cleaner:
    """`tests` are by the prefix of the names that they are for."""

    def __init__(self, results: Results, threads: Threads, tests: Mapping[str, IsNeedless]) -> None:
        self._results = results
        self._threads = threads
        self._tests = tests
        self._left: list[tuple[str, IsNeedless]] = []
        self._listed = -math.inf

    async def clean(self, now: float) -> bool:
        """Looks at the next portion, and answers whether there is another to look at before INTERVAL has passed.

        Raises Unavailable; then the same portion is the next. What fails for one object is logged, and holds up no
        other: that one is looked at again after INTERVAL.
        """
        if not self._left and abs(now - self._listed) >= INTERVAL:
            self._left = await self._threads.files(self._list)
            self._listed = now
        await self._threads.files(self._look_at, self._left[-_PORTION:], now)
        del self._left[-_PORTION:]
        return bool(self._left)

    def _list(self) -> list[tuple[str, IsNeedless]]:
        return [(name, test) for prefix, test in self._tests.items() for name in self._results.names(prefix)]

    def _look_at(self, portion: list[tuple[str, IsNeedless]], now: float) -> None:
        for name, is_needless in portion:
            try:
                if is_needless(name, now):
                    self._remove(name)
            except Unavailable:
                raise
            except Exception:
                logger.exception("cleaning: whether %s is needed cannot be told", name)

    def _remove(self, name: str) -> None:
        try:
            self._results.remove(name)
        except PixelserveError as error:
            logger.warning("cleaning: %s", error.message)
