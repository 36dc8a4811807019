"""Room in memory for what requests only name: uploads, and results of other jobs."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from pixelserve.errors import Unavailable

TURN_SECONDS = 20.0
"""How long a request waits for its turn."""
_RETRY_SECONDS = 1


class Room:
    """`most` bytes at once. Where there is no room, tenants take turns; of each, whoever came first is the first."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._line = asyncio.Lock()
        """Of the first one of each tenant."""
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Of each tenant, while somebody stands in it."""
        self._freed = asyncio.Event()

    async def take(self, tenant: str, size: int) -> None:
        """Waits for so many bytes of at most `most`, to be given back. Raises Unavailable after TURN_SECONDS."""
        own_line = self._lines.setdefault(tenant, asyncio.Lock())
        try:
            async with asyncio.timeout(TURN_SECONDS), own_line, self._line:
                while self._free < size:
                    self._freed.clear()
                    await self._freed.wait()
                self._free -= size
        except TimeoutError:
            raise Unavailable(
                "There is no room for the image now. Try again in a moment.", retry_after=_RETRY_SECONDS
            ) from None

    def give_back(self, size: int) -> None:
        """Makes the room free again."""
        self._free += size
        self._freed.set()
