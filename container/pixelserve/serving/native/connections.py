"""Every connection of a server, and who has it: it waits for a request, a worker has it, or the lobby.

The supervisor keeps a duplicate of each socket that it passes on. So it takes over the connections of a worker that
died, and answers in place of one that stands still.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from pixelserve.errors import PixelserveError
from pixelserve.serving.native import channel
from pixelserve.serving.native.acceptor import Acceptor
from pixelserve.serving.native.board import ANSWERING, BUSY, IDLE, TAKEN, Board
from pixelserve.serving.native.connection import Host
from pixelserve.serving.native.lobby import FULL, LOST, OVERDUE, UNREAD, Lobby, answer_instead
from pixelserve.serving.native.waiting import WaitingConnections, first_bytes, hang_up
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.supervisor")

PULSE_SECONDS = 1.0
"""A worker moves at least so often."""


@dataclass(eq=False)
class Worker:
    """A worker process as the supervisor sees it; `slots` are the connections it has, and since when (loop's time)."""

    index: int
    process: subprocess.Popen[bytes]
    link: socket.socket
    pidfd: int
    ready: bool = False
    has_said_why: bool = False
    """Whether it has said why its model did not load."""
    is_overdue: bool = False
    """Whether it was found not to have moved for a time-out."""
    slots: dict[int, float] = field(default_factory=dict)


class Connections:
    """The connections that a listener takes, for `workers` by their index, of which there are `most`."""

    def __init__(
        self, settings: Settings, listener: socket.socket, workers: Mapping[int, Worker], most: int, lobby: Lobby
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._waiting = WaitingConnections(self._begin, self._end)
        self._acceptor = Acceptor(listener, self._wait, self._waiting.end_longest)
        self._sockets: dict[int, socket.socket] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self.board = Board.create(self._acceptor.slots, most)
        self.lobby = Host(lobby, settings, self.board, self._free)
        self.lobby.draining = True  # its answers close their connections, so that callers come back to a worker

    @property
    def is_answering(self) -> bool:
        """Whether answers are on their way from this process."""
        return bool(self.lobby.state.connections or self._answering)

    def _wait(self, connection: socket.socket, slot: int) -> None:
        """Lets a new connection wait for its first request."""
        self._waiting.add(connection, slot, self._settings.silence_seconds)

    def _begin(self, connection: socket.socket, slot: int, is_ping: bool) -> None:
        """A request begins: a worker gets it if it is not `/ping` and one is able to, else the lobby."""
        if is_ping or not self._pass_on(connection, slot):
            self.lobby.adopt(connection, slot)

    def _end(self, connection: socket.socket, slot: int) -> None:
        """The caller of a waiting connection has gone."""
        hang_up(connection)
        self._acceptor.release(slot)

    def _pass_on(self, connection: socket.socket, slot: int) -> bool:
        """Whether a worker took the connection."""
        able = [worker for worker in self._workers.values() if worker.ready and not self._stands_still(worker)]
        for worker in sorted(able, key=lambda worker: len(worker.slots)):
            try:
                channel.send(worker.link, channel.CONNECTION, slot=slot, pass_on=connection)
            except OSError:  # it just died, or does not read its messages
                continue
            worker.slots[slot] = self._loop.time()
            self._sockets[slot] = connection
            return True
        return False

    def release(self, worker: Worker, slot: int) -> None:
        """A worker's connection has ended."""
        worker.slots.pop(slot, None)
        self._free(slot)

    def refuse(self, worker: Worker, slot: int) -> None:
        """A worker could not take a connection."""
        if slot in self._sockets:
            self._answer_instead(slot, FULL)
        self.release(worker, slot)

    def take_back(self, worker: Worker, slot: int) -> None:
        """A worker's connection is idle: it waits for its next request, unless the server is ending."""
        worker.slots.pop(slot, None)
        self._keep(slot)

    def _keep(self, slot: int) -> None:
        connection = self._sockets.pop(slot, None)
        if connection is None:  # it has been answered here
            self._free(slot)
        elif self._is_closed and first_bytes(connection):
            self._begin(connection, slot, is_ping=False)
        elif self._is_closed:
            self._end(connection, slot)
        else:
            self.board[slot] = IDLE
            self._waiting.add(connection, slot, self._settings.keep_alive_seconds)

    def _free(self, slot: int) -> None:
        """The connection of this slot has ended."""
        connection = self._sockets.pop(slot, None)
        if connection is not None:
            hang_up(connection)
        self.board[slot] = IDLE
        self._acceptor.release(slot)

    def rescue(self, worker: Worker) -> None:
        """Takes over from a worker that ended: a request in work is answered 503, an idle connection waits again."""
        for slot in worker.slots:
            state = self.board[slot]
            if state in (IDLE, TAKEN):
                self._keep(slot)
                continue
            if state == BUSY:
                self._answer_instead(slot, LOST)
            elif state == ANSWERING:
                logger.warning("an answer was cut off when its worker ended")
            self._free(slot)

    def answer_overdue(self, worker: Worker) -> None:
        """Answers those who have waited longer than the time-out in a worker that has not moved for that long.

        504, or 503 for a request that it has not begun to read. When it moves again it finds TAKEN; it could write
        nothing then, since the sending side is shut down.
        """
        worker.is_overdue = self._has_stood_still(worker)
        if not worker.is_overdue:
            return
        since = self._loop.time() - self._settings.timeout
        for slot in [slot for slot, passed in worker.slots.items() if passed < since and slot in self._sockets]:
            state = self.board[slot]
            if state == BUSY or (state == IDLE and first_bytes(self._sockets[slot])):
                self.board[slot] = TAKEN
                self._loop.call_soon(self._answer_taken, slot, OVERDUE if state == BUSY else UNREAD)

    def _answer_taken(self, slot: int, error: PixelserveError) -> None:
        """Answers, unless the worker has woken just now and was faster."""
        if self.board[slot] == TAKEN and slot in self._sockets:
            self._answer_instead(slot, error)

    def _stands_still(self, worker: Worker) -> bool:
        """Whether it stood still at the last look, which allows for pauses of this process too, and does so yet."""
        return worker.is_overdue and self._has_stood_still(worker)

    def _has_stood_still(self, worker: Worker) -> bool:
        return self.board.seconds_since_beat(worker.index) > self._settings.timeout + PULSE_SECONDS

    def _answer_instead(self, slot: int, error: PixelserveError) -> None:
        self.lobby.app.refused(error.status)
        answer = self._loop.create_task(answer_instead(self._sockets.pop(slot), error))
        self._answering.add(answer)
        answer.add_done_callback(self._answering.discard)

    def close(self) -> None:
        """No further connection is taken; those on whose way a request may be are passed on."""
        self._is_closed = True
        self._acceptor.close()
        for connection, slot in self._waiting.take_all():
            self._begin(connection, slot, is_ping=False)
