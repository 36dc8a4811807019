"""Shared memory of the supervisor and its workers: a byte for each connection, and a pulse for each worker.

The byte says what the worker is doing with the connection. The supervisor reads it when a worker has died: a connection
with a request in work gets a 503, an idle one moves to another worker, one whose answer had begun can only be closed.
It writes TAKEN when it has answered in place of a worker that does not move.
Written on every request, so it is one store, no message. The pulse stands still while a handler holds the interpreter's
lock.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

IDLE, BUSY, ANSWERING, TAKEN = range(4)
_PULSE = struct.Struct("=d")


class Board:
    """`slots` bytes and the pulses of `workers`, shared through a file descriptor."""

    def __init__(self, fd: int, slots: int, workers: int = 0) -> None:
        self.fd = fd
        self.slots = slots
        self._pulses = -slots % _PULSE.size + slots  # aligned, so that each is written in one piece
        self._memory = mmap.mmap(fd, self._pulses + workers * _PULSE.size)

    @classmethod
    def create(cls, slots: int, workers: int = 0) -> Board:
        """A new board, all idle."""
        fd = os.memfd_create("pixelserve-board")
        os.truncate(fd, slots + (workers + 1) * _PULSE.size)
        return cls(fd, slots, workers)

    def beat(self, worker: int) -> None:
        """Called by the worker every second or so."""
        _PULSE.pack_into(self._memory, self._pulses + worker * _PULSE.size, time.monotonic())

    def seconds_since_beat(self, worker: int) -> float:
        """How long its pulse has stood still; of the machine's own clock, which all processes share."""
        (last,) = _PULSE.unpack_from(self._memory, self._pulses + worker * _PULSE.size)
        return time.monotonic() - float(last)

    def __getitem__(self, slot: int) -> int:
        return self._memory[slot]

    def __setitem__(self, slot: int, state: int) -> None:
        self._memory[slot] = state
