"""`serve`: binds the port at once, starts the workers, hands them connections, replaces them, drains, exits.

The supervisor accepts every connection, waits for its first request, and passes it to the worker with the fewest,
keeping a duplicate of the socket; an idle connection comes back. It answers `/ping` by itself, whatever a handler does
to its worker, and everything while no worker is ready (the lobby). When a worker dies it answers 503 on the connections
that had a request in that worker, so a crash costs its callers those requests and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import Any

import uvloop

from pixelserve.errors import Draining, NotReady, PixelserveError, State, Unavailable
from pixelserve.machine import gpus
from pixelserve.observe import metrics
from pixelserve.processes import Stop, describe_ending, reap_orphans, state_of_ending, worker_environment
from pixelserve.serving import handler
from pixelserve.serving.native import channel
from pixelserve.serving.native.acceptor import open_listener
from pixelserve.serving.native.connections import PULSE_SECONDS, Connections, Worker
from pixelserve.serving.native.installing import install
from pixelserve.serving.native.lobby import Lobby
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.supervisor")

LONGEST_PAUSE = 30.0
"""Seconds between two attempts at starting a worker that keeps failing."""


class Supervisor:
    """Runs one server. `run` returns the exit code."""

    def __init__(self, config: Settings, listener: socket.socket) -> None:
        self._settings = config
        self._workers: dict[int, Worker] = {}
        self._failures: dict[int, int] = {}
        self._reasons: dict[int, Unavailable] = {}
        self._reason: Unavailable = NotReady("The server is starting.", state=State.STARTING, retry_after=1)
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._metrics = metrics.Metrics()
        self._gpus = config.gpus or gpus()
        self._worker_count = config.workers or max(1, self._gpus)
        self._lobby = Lobby(config, self._metrics, self._why)
        self._connections = Connections(config, listener, self._workers, self._worker_count, self._lobby)

    async def run(self, stop: Stop) -> int:
        """Serves until `stop`, then drains. 0 when nothing was lost."""
        self._loop = asyncio.get_running_loop()
        starting, watching = self._spawn(self._prepare_and_start()), self._spawn(self._watch_pulses())
        await stop.wait_async()
        starting.cancel()
        watching.cancel()
        return await self._drain()

    # Workers

    async def _prepare_and_start(self) -> None:
        try:
            location = handler.locate(self._settings)
            logger.info("handler %s (%s)", location.file, location.origin)
            await self._install(location)
        except (PixelserveError, OSError) as error:
            logger.error("%s", error)
            self._reason = NotReady(str(error), state=State.LOAD_FAILED)
            return
        for index in range(self._worker_count):
            self._start(index)
        if os.getpid() == 1:
            await reap_orphans(lambda: [worker.process.pid for worker in self._workers.values()])

    async def _install(self, location: handler.Location) -> None:
        """The handler's requirements.txt, if that was asked for."""
        requirements = location.wanted_requirements(self._settings)
        if requirements is not None:
            self._reason = NotReady(f"Installing {requirements}.", state=State.INSTALLING, retry_after=5)
            await install(requirements)

    def _start(self, index: int) -> None:
        """Starts a worker, after a pause where no process can be made now: memory, processes or files are short."""
        try:
            worker = self._workers[index] = self._launch(index)
        except OSError as error:
            pause = self._try_again(index)
            reason = f"A worker could not be started: {error.strerror}. It is tried again."
            self._reasons[index] = NotReady(reason, state=State.STARTING, retry_after=2)
            logger.error("worker %d could not be started (%s); the next try is in %.1f s", index, error, pause)
            return
        self._loop.add_reader(worker.link, self._on_message, worker)
        self._loop.add_reader(worker.pidfd, self._on_lost, worker)
        before = self._reasons.get(index)
        if before is None or before.state is State.STARTING:
            self._reasons[index] = NotReady("The model is loading.", state=State.LOADING, retry_after=2)

    def _launch(self, index: int) -> Worker:
        """A worker's process. Raises OSError, and leaves nothing then."""
        ours, theirs = channel.pair()
        with theirs, contextlib.ExitStack() as undoing:
            undoing.enter_context(ours)
            ours.setblocking(False)
            fds = (theirs.fileno(), self._connections.board.fd)
            before = self._reasons.get(index, self._reason)
            is_retry = before.state in (State.LOAD_FAILED, State.OUT_OF_MEMORY)
            numbers = (*fds, self._connections.board.slots, self._worker_count, index, int(is_retry))
            process = subprocess.Popen(
                [sys.executable, "-m", "pixelserve.serving.native.worker", *map(str, numbers)],
                pass_fds=fds,
                env=self._environment(index),
            )
            undoing.callback(process.wait)
            undoing.callback(process.kill)
            worker = Worker(index, process, ours, os.pidfd_open(process.pid))
            undoing.pop_all()
        return worker

    def _environment(self, index: int) -> dict[str, str]:
        """A worker's environment: its share of the cores, and its GPU."""
        env = worker_environment(self._settings.compute_threads, self._worker_count)
        if self._gpus:
            env.setdefault("CUDA_VISIBLE_DEVICES", str(index % self._gpus))
        return env

    def _on_message(self, worker: Worker) -> bool:
        """Whether there was a message. The end of the link alone says nothing: a worker's children may hold it open."""
        message = channel.receive(worker.link)
        if message is None:
            self._loop.remove_reader(worker.link)
            return False
        if message.kind == channel.CLOSED:
            self._connections.release(worker, message.slot)
        elif message.kind == channel.RETURNED:
            self._connections.take_back(worker, message.slot)
        elif message.kind == channel.MISSED:
            self._connections.refuse(worker, message.slot)
        elif message.kind == channel.FAILED:
            worker.has_said_why = True
            reason = f"The model did not load: {message.text}"
            self._reasons[worker.index] = NotReady(reason, state=message.state)
        elif message.kind == channel.READY:
            worker.ready = True
            self._failures.pop(worker.index, None)
            self._reasons.pop(worker.index, None)
            logger.info("worker %d ready, pid %d", worker.index, worker.process.pid)
        return True

    def _on_lost(self, worker: Worker) -> None:
        """Cleans up after a worker that ended, and starts its successor unless the server is ending."""
        while self._on_message(worker):  # what it said last
            pass
        self._loop.remove_reader(worker.pidfd)
        os.close(worker.pidfd)
        worker.link.close()
        code = worker.process.wait()
        del self._workers[worker.index]
        self._connections.rescue(worker)
        if self._draining:
            return
        self._metrics.worker_lost()
        how = describe_ending(code)
        if worker.has_said_why:
            how = f"{how}: {self._reasons[worker.index].message}"
        pause = self._try_again(worker.index)
        logger.error("worker %d ended (%s); the next starts in %.1f s", worker.index, how, pause)
        if worker.ready:
            reason = f"The worker ended ({how}); another is being started."
            self._reasons[worker.index] = NotReady(reason, state=State.WORKER_LOST, retry_after=2)
        elif not worker.has_said_why:
            reason = f"The model did not load: the worker ended while loading ({how})."
            self._reasons[worker.index] = NotReady(reason, state=state_of_ending(code))
        metrics.fold_ended()

    def _try_again(self, index: int) -> float:
        """Starts a worker after a pause, which is returned: a longer one with each failure in a row."""
        failures = self._failures[index] = self._failures.get(index, 0) + 1
        pause: float = min(LONGEST_PAUSE, 0.1 * 4 ** (failures - 1))
        self._loop.call_later(pause, self._restart, index)
        return pause

    def _restart(self, index: int) -> None:
        if not self._draining:
            self._start(index)

    def _why(self) -> Unavailable | None:
        """Why no worker is ready; None when one is. It is final only when all workers have failed."""
        if any(worker.ready for worker in self._workers.values()):
            return None
        reasons = [self._reasons[index] for index in sorted(self._reasons)]
        hopeful = [reason for reason in reasons if not (reason.state and reason.state.is_final)]
        return next(iter(hopeful or reasons), self._reason)

    async def _watch_pulses(self) -> None:
        """Ends workers that their handlers have stopped for three time-outs, so that successors take over."""
        limit = 3 * self._settings.timeout + PULSE_SECONDS
        while True:
            begun = time.monotonic()
            await asyncio.sleep(PULSE_SECONDS)
            if time.monotonic() - begun > 2 * PULSE_SECONDS:  # this process stood still too, as a paused container does
                await asyncio.sleep(2 * PULSE_SECONDS)
            for worker in [w for w in self._workers.values() if w.ready]:
                self._connections.answer_overdue(worker)
                if self._connections.board.seconds_since_beat(worker.index) > limit:
                    logger.critical("worker %d has not moved for %.0f s; it ends to be replaced", worker.index, limit)
                    worker.process.kill()

    # The end

    async def _drain(self) -> int:
        """Lets the workers finish; those that do not within the time given, or are still loading, are killed."""
        self._draining = True
        self._reasons.clear()
        self._reason = Draining("The server is ending. Send it to another.", retry_after=1)
        logger.info("draining, up to %g s", self._settings.drain_seconds)
        self._connections.close()
        workers = list(self._workers.values())
        for worker in workers:
            if worker.ready:
                with contextlib.suppress(OSError):
                    channel.send(worker.link, channel.DRAIN)
            else:
                worker.process.kill()
        self._spawn(self._connections.lobby.drain(self._settings.drain_seconds))
        deadline = self._loop.time() + self._settings.drain_seconds + 1.0
        while (self._workers or self._connections.is_answering or self._tasks) and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        for worker in self._workers.values():
            worker.process.kill()
        lost = [w for w in workers if w.ready and w.process.wait() != 0]
        self._lobby.flush_log()
        logger.info("ended with work lost" if lost else "ended, nothing lost")
        return 1 if lost else 0

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def run(config: Settings, stop: Stop) -> int:
    """Serves one model until `stop`; 0 after a clean drain, else 1. Raises Unavailable when the port is taken."""
    with contextlib.closing(open_listener(config)) as listener, metrics.prepare():
        return uvloop.run(_run(config, listener, stop))


async def _run(config: Settings, listener: socket.socket, stop: Stop) -> int:
    return await Supervisor(config, listener).run(stop)
