"""The event loop and the handler take turns on the main thread.

A light call costs no switch of threads then. While a call takes long the loop goes on in a thread of its own, the
relief, so that the others are read, refused and told of their time-outs; it comes back when the call has ended.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from pixelserve.serving.engine import Work

Result = TypeVar("Result")

LONG_SECONDS = 0.005
"""A call that takes longer has the main thread to itself."""
TURN_SECONDS = 0.001
"""Calls that are short are made one after another for this long before the loop goes on."""
REST_SECONDS = 1.0
"""Without a call for this long, the relief no longer looks."""


class Turns:
    """Made on the main thread, where `serve` runs the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._work: deque[Work] = deque()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._begun: float | None = None
        """When the present turn of the handler began."""
        self._is_relieved = False
        """Whether the loop is the relief's. Written under the lock, as `_begun` is."""
        self._has_stopped = threading.Event()
        self._looks = threading.Event()

    def serve(self, serving: Coroutine[Any, Any, NoReturn]) -> None:
        """Runs `serving`, which ends the process, and all work for the main thread. Raises what it raises."""
        threading.Thread(target=self._relieve, name="http", daemon=True).start()
        task = self._loop.create_task(serving)
        task.add_done_callback(lambda _: self._loop.stop())
        while not task.done():
            if self._work:
                self._loop.stop()  # after one round
            self._loop.run_forever()
            self._take_turn()
        task.result()

    def run(self, work: Work) -> None:
        """Called on the loop: `work` is done on the main thread, after what was asked for before."""
        self._work.append(work)
        if not self._is_relieved:
            self._loop.stop()

    async def result_of(self, function: Callable[[], Result]) -> Result:
        """What `function` returns on the main thread. Raises what it raises."""
        future: asyncio.Future[Result] = self._loop.create_future()

        def work() -> None:
            try:
                result = function()
            except Exception as error:  # noqa: BLE001  it is raised where it is awaited
                self.call_back(future.set_exception, error)
            else:
                self.call_back(future.set_result, result)

        self.run(work)
        return await future

    def call_back(self, function: Callable[..., None], *arguments: Any) -> None:
        """Called by work: calls a function as the loop would.

        A child that a handler forks and lets return ends here: connections and loop are its parent's.
        """
        if os.getpid() != self._pid:
            os._exit(1)
        with self._lock:
            if not self._is_relieved:
                function(*arguments)
                return
        self._loop.call_soon_threadsafe(function, *arguments)

    def _take_turn(self) -> None:
        """Does the work for one turn; where it takes long, the relief has the loop, and more is done at once."""
        if not self._work:
            return
        begun = time.monotonic()
        with self._lock:
            self._begun = begun
        if not self._looks.is_set():
            self._looks.set()
        ended = begun
        while self._work:
            started = ended
            self._work.popleft()()
            ended = time.monotonic()
            if ended - begun > TURN_SECONDS and not (self._is_relieved and ended - started > LONG_SECONDS):
                break
        with self._lock:
            self._begun = None
        if self._is_relieved:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._has_stopped.wait()
            self._has_stopped.clear()
            self._is_relieved = False

    def _relieve(self) -> None:
        """The relief: runs the loop while a turn of the handler takes long."""
        rested = 0.0
        while True:
            if rested > REST_SECONDS:
                rested = 0.0
                self._looks.clear()
                if self._begun is not None:  # just before
                    self._looks.set()
            self._looks.wait()
            time.sleep(LONG_SECONDS)
            with self._lock:
                self._is_relieved = self._begun is not None and time.monotonic() - self._begun > LONG_SECONDS
                rested = rested + LONG_SECONDS if self._begun is None else 0.0
            if self._is_relieved:
                self._loop.run_forever()
                self._has_stopped.set()
