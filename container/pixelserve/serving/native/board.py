"""One byte of shared memory for each connection: what its worker is doing with it.

The supervisor reads it when a worker has died: a connection with a request in work gets a 503, an idle one moves to
another worker, one whose answer had begun can only be closed. Written on every request, so it is one store, no message.
"""

from __future__ import annotations

import mmap
import os

IDLE, BUSY, ANSWERING = 0, 1, 2


class Board:
    """`slots` bytes shared by the supervisor and its workers through a file descriptor."""

    def __init__(self, fd: int, slots: int) -> None:
        self.fd = fd
        self.slots = slots
        self._memory = mmap.mmap(fd, slots)

    @classmethod
    def create(cls, slots: int) -> Board:
        """A new board, all idle."""
        fd = os.memfd_create("pixelserve-board")
        os.truncate(fd, slots)
        return cls(fd, slots)

    def __getitem__(self, slot: int) -> int:
        return self._memory[slot]

    def __setitem__(self, slot: int, state: int) -> None:
        self._memory[slot] = state
