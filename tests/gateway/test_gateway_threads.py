"""The threads of readers, writers and files: what holds up whom, and who is told to come back."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pixelserve.errors import NotFound, Unavailable
from pixelserve_gateway.jobs import Threads, threads


class Slow:
    """A store that answers when it is let."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> str:
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


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE", 0.2)


def begin(number: int, call: Callable[[Slow], Coroutine[Any, Any, str]], slow: Slow) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(call(slow)) for _ in range(number)]


def test_no_kind_waits_for_another() -> None:
    async def story(made: Threads, slow: Slow) -> None:
        waiting = begin(20, made.files, slow) + begin(20, made.write, slow)
        await asyncio.sleep(0.5)
        assert [await made.read(lambda: "read") for _ in range(20)] == ["read"] * 20
        assert not any(task.done() for task in waiting)
        slow.may_answer.set()
        assert await asyncio.gather(*waiting) == ["answer"] * 40

    play(story)


def test_who_cannot_wait_is_told_to_come_back_once_the_store_is_silent() -> None:
    async def story(made: Threads, slow: Slow) -> None:
        in_work, patient = begin(4, made.write_now, slow), begin(3, made.write, slow)
        refused = await asyncio.gather(*begin(16, made.write_now, slow), return_exceptions=True)
        for error in refused:
            assert isinstance(error, Unavailable)
            assert error.retry_after == threads.RETRY_SECONDS
        with pytest.raises(Unavailable):
            made.check_writers()
        assert made.silence >= 0.2
        slow.may_answer.set()
        assert await asyncio.gather(*in_work, *patient) == ["answer"] * 7
        made.check_writers()
        assert made.silence == 0
        assert await made.write_now(slow) == "answer"

    play(story)


def test_a_queue_that_moves_is_waited_for() -> None:
    async def story(made: Threads, slow: Slow) -> None:
        slow.may_answer.set()
        assert await asyncio.gather(*begin(200, made.write_now, slow)) == ["answer"] * 200

    play(story)


@pytest.mark.parametrize(("error", "is_answer"), [(NotFound("No."), True), (Unavailable("Locked."), False)])
def test_a_store_that_does_not_work_stays_silent(error: Exception, is_answer: bool) -> None:
    async def story(made: Threads, slow: Slow) -> None:
        other = Slow()
        (held,) = begin(1, made.write, other)
        await asyncio.sleep(0.5)
        slow.error = error
        slow.may_answer.set()
        with pytest.raises(type(error)):
            await made.write_now(slow)
        assert (made.silence < 0.5) == is_answer
        other.may_answer.set()
        await held

    play(story)


def test_who_goes_away_leaves_its_place_taken_until_the_thread_is_free(caplog: pytest.LogCaptureFixture) -> None:
    async def story(made: Threads, slow: Slow) -> None:
        for task in (gone := begin(4, made.write_now, slow)):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        with pytest.raises(Unavailable):
            await made.write_now(lambda: "never")
        caplog.clear()
        slow.error = ValueError("read of closed file")
        slow.may_answer.set()
        assert await made.write(lambda: "again") == "again"
        gc.collect()  # which has asyncio log what nobody has looked at
        assert caplog.text == ""

    play(story)
