"""Room in memory for what requests only name: uploads, and results of other jobs."""

from __future__ import annotations

import asyncio

from pixelserve.errors import Unavailable

TURN_SECONDS = 20.0
"""How long a request waits for its turn."""
_RETRY_SECONDS = 1


class Room:
    """`most` bytes at once. Where there is no room, whoever came first is the first to get some."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Waits for so many bytes of at most `most`, to be given back. Raises Unavailable after TURN_SECONDS."""
        try:
            async with asyncio.timeout(TURN_SECONDS), self._line:
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
