"""The threads of readers, writers and files: what holds up whom, and who is told to come back."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pixelserve.errors import NotFound, Unavailable
from pixelserve_gateway.jobs import Threads, threads

PATIENCE = 0.0625
"""Seconds, which floats add up without an error."""


class Slow:
    """A store that answers when it is let."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.error: Exception | None = None
        self._asked: list[None] = []

    async def asked(self, number: int) -> None:
        """Returns when it has been asked so often, by threads that are in work then."""
        while len(self._asked) < number:
            await asyncio.sleep(0.01)

    def __call__(self) -> str:
        self._asked.append(None)
        assert self.may_answer.wait(60)
        if self.error is not None:
            raise self.error
        return "answer"


def play(story: Callable[[Threads, Slow], Coroutine[Any, Any, None]]) -> None:
    async def playing() -> None:
        made, slow = Threads(), Slow()
        try:
            await asyncio.wait_for(story(made, slow), 60)
        finally:
            slow.may_answer.set()
            await asyncio.to_thread(made.close)

    asyncio.run(playing())


class Clock:
    """The time of the threads, moved on by hand. `monotonic` as the module `time` has it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The store is silent for too long when it says so; who waits looks at it every 1/16 s."""
    made = Clock()
    monkeypatch.setattr(threads, "PATIENCE", PATIENCE)
    monkeypatch.setattr(threads, "time", made)
    return made


def begin(number: int, call: Callable[[Slow], Coroutine[Any, Any, str]], slow: Slow) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(call(slow)) for _ in range(number)]


def test_no_kind_waits_for_another(clock: Clock) -> None:
    async def story(made: Threads, slow: Slow) -> None:
        waiting = begin(20, made.files, slow) + begin(20, made.write, slow)
        await slow.asked(12)
        clock.now += 10
        assert [await made.read(lambda: "read") for _ in range(20)] == ["read"] * 20
        assert not any(task.done() for task in waiting)
        slow.may_answer.set()
        assert await asyncio.gather(*waiting) == ["answer"] * 40

    play(story)


def test_who_cannot_wait_is_told_to_come_back_once_the_store_is_silent(clock: Clock) -> None:
    async def story(made: Threads, slow: Slow) -> None:
        in_work, patient = begin(4, made.write_now, slow), begin(3, made.write, slow)
        waiting = begin(16, made.write_now, slow)
        await slow.asked(4)
        await asyncio.sleep(2 * PATIENCE)
        assert not any(task.done() for task in waiting)
        made.check_writers()
        clock.now += PATIENCE
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        for error in refused:
            assert isinstance(error, Unavailable)
            assert error.retry_after == threads.RETRY_SECONDS
        with pytest.raises(Unavailable):
            made.check_writers()
        assert made.silence == PATIENCE
        slow.may_answer.set()
        assert await asyncio.gather(*in_work, *patient) == ["answer"] * 7
        made.check_writers()
        assert made.silence == 0
        assert await made.write_now(slow) == "answer"

    play(story)


def test_a_queue_that_moves_is_waited_for(clock: Clock) -> None:
    """The last one's turn comes when eight times its patience have passed, and by the clock by hand 25 times."""

    def work(slow: Slow) -> str:
        time.sleep(0.01)
        clock.now += PATIENCE / 8  # the four that are in work at once are never silent for too long
        return slow()

    async def story(made: Threads, slow: Slow) -> None:
        slow.may_answer.set()
        tasks = [asyncio.create_task(made.write_now(work, slow)) for _ in range(200)]
        assert await asyncio.gather(*tasks) == ["answer"] * 200

    play(story)


def test_who_leaves_the_line_at_any_moment_takes_no_place_along(clock: Clock) -> None:
    """Three of four places are taken; the fourth gets free some turns of the loop before or after the next one goes."""

    async def story(made: Threads, slow: Slow) -> None:
        loop = asyncio.get_running_loop()
        held = begin(3, made.write_now, slow)
        await slow.asked(3)

        def leave(task: asyncio.Task[str], turns: int) -> None:
            if turns:
                loop.call_soon(leave, task, turns - 1)
            else:
                task.cancel()

        for turns in range(16):
            told = threading.Event()
            last = asyncio.create_task(made.write_now(told.wait, 60))
            leaving = asyncio.create_task(made.write_now(lambda: "answer"))
            await asyncio.sleep(0)
            told.set()
            await asyncio.to_thread(loop.call_soon_threadsafe, leave, leaving, turns)
            await asyncio.gather(last, leaving, return_exceptions=True)
        slow.may_answer.set()
        await asyncio.gather(*held)
        all_four = threading.Barrier(4)
        await asyncio.gather(*(made.write_now(all_four.wait, 60) for _ in range(4)))
        slow.may_answer.clear()
        held = begin(4, made.write_now, slow)
        await slow.asked(7)
        clock.now += PATIENCE
        with pytest.raises(Unavailable):
            made.check_writers()
        slow.may_answer.set()
        await asyncio.gather(*held)

    play(story)


@pytest.mark.parametrize(("error", "is_answer"), [(NotFound("No."), True), (Unavailable("Locked."), False)])
def test_a_store_that_does_not_work_stays_silent(clock: Clock, error: Exception, is_answer: bool) -> None:
    async def story(made: Threads, slow: Slow) -> None:
        other = Slow()
        (held,) = begin(1, made.write, other)
        await other.asked(1)
        clock.now += 10
        slow.error = error
        slow.may_answer.set()
        with pytest.raises(type(error)):
            await made.write_now(slow)
        assert made.silence == (0 if is_answer else 10)
        other.may_answer.set()
        await held

    play(story)


def test_who_goes_away_leaves_its_place_taken_until_the_thread_is_free(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(made: Threads, slow: Slow) -> None:
        for task in (gone := begin(4, made.write_now, slow)):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        await slow.asked(4)
        clock.now += PATIENCE
        with pytest.raises(Unavailable):
            await made.write_now(lambda: "never")
        caplog.clear()
        slow.error = ValueError("read of closed file")
        slow.may_answer.set()
        assert await made.write(lambda: "again") == "again"
        gc.collect()  # which has asyncio log what nobody has looked at
        assert caplog.text == ""

    play(story)
