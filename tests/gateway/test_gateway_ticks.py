"""Jobs as they are run and looked after, on both stores, with a clock set by hand."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path

import gateway_jobs
import pytest
from gateway_jobs import FEATURE, NOW, Gateway, event_text, passing, until
from gateway_servers import png

from pixelserve.errors import InvalidImage, NotFound, Unavailable
from pixelserve.storage import Folder
from pixelserve_gateway.jobs import (
    Cleaner,
    Job,
    JobProgress,
    JobState,
    JobStore,
    KeptCall,
    Look,
    Output,
    OutputPlaces,
    Sender,
    Threads,
    Ticker,
    Uploads,
    lambda_handler,
)
from pixelserve_gateway.jobs.job import Lane, ended, new_id
from pixelserve_gateway.results import Results

# The queue worker


def test_a_job_runs_and_its_result_is_kept(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job = await gateway.submit(data={"d": 1})
        assert (job.state, job.expires, job.data) == (JobState.QUEUED, NOW + 21_600, {"d": 1})
        await gateway.tick()
        done = await gateway.job(job.id)
        assert (done.state, done.finished, done.expires) == (JobState.SUCCEEDED, NOW, NOW + 86_400)
        assert done.progress == JobProgress(1.0, estimated=False)
        assert done.result is not None
        assert (done.result.media_type, done.result.size, done.result.attributes) == ("image/png", 6, "ms=1")
        assert gateway.results.read(done.result.name)[0] == b"answer"
        assert gateway.endpoints.calls == [KeptCall(FEATURE, {"content_type": "image/png"}, b"image")]
        assert gateway.files() == [done.result.name]  # the input is gone

    play(story)


def test_an_error_that_passes_is_tried_again_after_growing_pauses(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.answers = [passing(), passing(retry_after=7), ValueError("ours"), b"answer"]
        job = await gateway.submit()
        await gateway.tick()
        assert (await gateway.job(job.id)).state is JobState.QUEUED
        for pause in (1, 7, 4):
            await gateway.tick(after=pause - 0.5)
            assert (await gateway.job(job.id)).state is JobState.QUEUED
            await gateway.tick(after=0.5)
        done = await gateway.job(job.id)
        assert (done.state, done.attempts, done.failures) == (JobState.SUCCEEDED, 4, 3)

    play(story)


def test_an_error_that_passes_too_often_fails_the_job(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.answers = [passing("worker_lost")]
        job = await gateway.submit()
        for _ in range(9):
            await gateway.tick(after=60)
        failed = await gateway.job(job.id)
        assert (failed.state, len(gateway.endpoints.calls)) == (JobState.FAILED, 5)
        assert failed.error is not None
        error = failed.error.as_error()
        assert (error.status, error.code, error.message, error.retryable) == (503, "worker_lost", "Try again.", True)
        assert gateway.files() == []

    play(story)


def test_an_error_that_stays_fails_the_job_at_once(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.answers = [InvalidImage("Not a picture.", param="image")]
        job = await gateway.submit()
        await gateway.tick()
        failed = await gateway.job(job.id)
        assert failed.state is JobState.FAILED
        assert failed.error is not None
        assert (failed.error.status, failed.error.code, failed.error.param) == (400, "invalid_image", "image")

    play(story)


def test_no_more_calls_are_in_work_than_allowed(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        jobs = [await gateway.submit() for _ in range(5)]
        ticking = asyncio.create_task(gateway.tick())
        await until(lambda: len(gateway.endpoints.calls) == 2)
        await asyncio.sleep(0.1)
        assert len(gateway.endpoints.calls) == 2
        gateway.endpoints.gate.set()
        await ticking
        assert {(await gateway.job(job.id)).state for job in jobs} == {JobState.SUCCEEDED}

    play(story, calls=2)


def test_tenants_take_turns(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        for tenant in ("b", "b", "b", "b", "a", "c", "a"):
            await gateway.submit(tenant)
            gateway.clock.now += 1
        await gateway.tick()
        assert gateway.endpoints.tenants == ["a", "b", "c", "a", "b", "b", "b"]

    play(story, calls=1)


def test_two_processes_never_take_the_same_job(store: JobStore, tmp_path: Path) -> None:
    async def story() -> None:
        clock = gateway_jobs.Clock()
        several = [Gateway(store, tmp_path / "results", clock=clock) for _ in range(4)]
        jobs = [await several[0].submit() for _ in range(12)]
        await asyncio.gather(*(gateway.tick() for gateway in several))
        assert sum(len(gateway.endpoints.calls) for gateway in several) == len(jobs)
        assert {(await several[0].job(job.id)).state for job in jobs} == {JobState.SUCCEEDED}

    asyncio.run(story())


def test_a_lease_that_ran_out_is_taken_and_the_late_answer_dropped(store: JobStore, tmp_path: Path) -> None:
    async def story() -> None:
        clock = gateway_jobs.Clock()
        slow, quick = (Gateway(store, tmp_path / "results", clock=clock, lease=15.0) for _ in range(2))
        slow.endpoints.answers, quick.endpoints.answers = [b"late"], [b"quick"]
        slow.endpoints.gate.clear()
        job = await slow.submit()
        sleeping = asyncio.create_task(slow.tick())
        await until(lambda: len(slow.endpoints.calls) == 1)
        await quick.tick(after=14)
        assert (await quick.job(job.id)).state is JobState.RUNNING
        await quick.tick(after=1)
        taken = await quick.job(job.id)
        assert (taken.state, taken.attempts) == (JobState.SUCCEEDED, 2)
        slow.endpoints.gate.set()
        await sleeping
        assert await quick.job(job.id) == taken
        assert taken.result is not None
        assert quick.results.read(taken.result.name)[0] == b"quick"
        assert quick.files() == [taken.result.name]

    asyncio.run(story())


def test_a_lease_is_renewed_while_the_call_lasts(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        job = await gateway.submit()
        ticking = asyncio.create_task(gateway.tick())
        await until(lambda: len(gateway.endpoints.calls) == 1)
        first = await gateway.job(job.id)
        gateway.clock.now += 100
        while (renewed := await gateway.job(job.id)).due == first.due:
            await asyncio.sleep(0.01)
        assert renewed.due == NOW + 100 + 0.1
        assert (renewed.lease, renewed.updated) == (first.lease, first.updated)
        gateway.endpoints.gate.set()
        await ticking
        assert (await gateway.job(job.id)).state is JobState.SUCCEEDED

    play(story, lease=0.1)


@pytest.mark.parametrize("jump", [-400 * 86_400.0, -3_600.0, 3_600.0])
def test_a_clock_that_jumps_loses_no_job_and_runs_none_twice(play: Callable[..., None], jump: float) -> None:
    """One in work goes on, new ones run; one that was due by the other clock runs when the clock is right again."""

    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        in_work = await gateway.submit()
        ticking = asyncio.create_task(gateway.tick())
        await until(lambda: len(gateway.endpoints.calls) == 1)
        gateway.clock.now += 10
        waiting = await gateway.submit()
        gateway.clock.now += jump
        gateway.endpoints.gate.set()
        await ticking
        assert (await gateway.job(in_work.id)).state is JobState.SUCCEEDED
        new = await gateway.submit()
        await gateway.tick()
        assert (await gateway.job(new.id)).state is JobState.SUCCEEDED
        await gateway.tick(after=-jump)
        assert (await gateway.job(waiting.id)).state is JobState.SUCCEEDED
        assert len(gateway.endpoints.calls) == 3

    play(story)


def test_the_loop_puts_back_what_it_has_when_it_stops(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        stop = asyncio.Event()
        loop = asyncio.create_task(gateway.ticker.run(stop))
        job = await gateway.submit()
        await until(lambda: len(gateway.endpoints.calls) == 1)
        stop.set()
        await loop
        back = await gateway.job(job.id)
        assert (back.state, back.lease, back.failures, back.due) == (JobState.QUEUED, "", 0, NOW)
        assert gateway.endpoints.canceled == 1

    play(story)


def test_the_loop_begins_new_jobs_while_others_are_in_work(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        stop = asyncio.Event()
        loop = asyncio.create_task(gateway.ticker.run(stop))
        gateway.endpoints.gate.clear()
        jobs = [await gateway.submit()]
        await until(lambda: len(gateway.endpoints.calls) == 1)
        jobs.append(await gateway.submit())
        await until(lambda: len(gateway.endpoints.calls) == 2)
        gateway.endpoints.gate.set()
        for job in jobs:
            assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        stop.set()
        await loop

    play(story)


# Asynchronous endpoints


def test_an_asynchronous_job_is_started_polled_and_collected(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        looks = [Look(), *(Look(fraction=told) for told in (0.5, 0.4, 1.0)), Look(output=Output(b"out", "image/png"))]
        gateway.endpoints.looks = [*looks]
        job = await gateway.submit()
        await gateway.ticker.start(job)
        started = await gateway.job(job.id)
        assert gateway.endpoints.started == [job.id]
        assert (started.state, started.lease) == (JobState.RUNNING, "")
        assert started.outputs == OutputPlaces(f"s3://b/{job.id}-1.out", f"s3://b/{job.id}-1-error.out")
        await gateway.tick()
        assert gateway.endpoints.looked_at == []  # not yet
        await gateway.tick(after=2)
        estimate = (await gateway.job(job.id)).progress
        assert estimate.estimated
        assert 0 < estimate.value < 0.95
        for shown in (0.5, 0.5, 0.99):
            await gateway.tick(after=2)
            assert (await gateway.job(job.id)).progress == JobProgress(shown, estimated=False)
        await gateway.tick(after=2)
        done = await gateway.job(job.id)
        assert done.state is JobState.SUCCEEDED
        assert done.result is not None
        assert gateway.results.read(done.result.name)[0] == b"out"
        assert gateway.files() == [done.result.name]
        assert gateway.endpoints.started == [job.id]
        assert gateway.endpoints.forgotten == [started.outputs]

    play(story, asynchronous=True)


def test_a_start_that_fails_is_left_to_the_next_tick(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.answers = [passing(), b""]
        job = await gateway.submit()
        await gateway.ticker.start(job)
        assert (await gateway.job(job.id)).state is JobState.QUEUED
        await gateway.tick(after=1)
        assert gateway.endpoints.started == [job.id]

    play(story, asynchronous=True)


def test_a_failed_invocation_fails_the_job(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.looks = [Look(error=InvalidImage("Not a picture."))]
        job = await gateway.submit()
        await gateway.ticker.start(job)
        await gateway.tick(after=2)
        failed = await gateway.job(job.id)
        assert failed.state is JobState.FAILED
        assert failed.error is not None
        assert failed.error.code == "invalid_image"

    play(story, asynchronous=True)


def test_a_look_that_fails_is_made_again_later(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.looks = [Unavailable("S3 is away."), ValueError("ours"), Look(output=Output(b"o", "a/b"))]
        job = await gateway.submit()
        await gateway.ticker.start(job)
        for number in (1, 2):
            await gateway.tick(after=2)
            assert len(gateway.endpoints.looked_at) == number
            assert (await gateway.job(job.id)).state is JobState.RUNNING
        await gateway.tick(after=2)
        assert (await gateway.job(job.id)).state is JobState.SUCCEEDED

    play(story, asynchronous=True)


@pytest.mark.parametrize("enveloped", [True, False])
def test_an_event_ends_a_job_once(play: Callable[..., None], enveloped: bool) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.looks = [Look(output=Output(b"out", "image/png"))]
        with gateway_jobs.receiving() as receiver:
            job = await gateway.submit(webhook=receiver.url)
            await gateway.ticker.start(job)
            message = event_text(job, output="s3://b/other.out", enveloped=enveloped)
            await gateway.tick(message, message)
            done = await gateway.job(job.id)
            assert done.state is JobState.SUCCEEDED
            assert [place.output for place in gateway.endpoints.looked_at] == ["s3://b/other.out"]
            await gateway.tick(message, event_text(job, completed=False), after=1)
            assert await gateway.job(job.id) == done
            assert len(receiver.requests) == 1

    play(story, asynchronous=True)


def test_an_event_ends_a_job_whose_start_was_not_noted(store: JobStore, tmp_path: Path) -> None:
    async def story() -> None:
        clock = gateway_jobs.Clock()
        dead, alive = (Gateway(store, tmp_path, asynchronous=True, clock=clock) for _ in range(2))
        alive.endpoints.looks = [Look(output=Output(b"out", "image/png"))]
        dead.endpoints.gate.clear()
        job = await dead.submit()
        starting = asyncio.create_task(dead.tick())
        await until(lambda: len(dead.endpoints.calls) == 1)
        await alive.tick(event_text(job, output="s3://b/o"))
        done = await alive.job(job.id)
        assert done.state is JobState.SUCCEEDED
        dead.endpoints.gate.set()
        await starting
        assert await alive.job(job.id) == done
        assert alive.endpoints.calls == []

    asyncio.run(story())


def test_an_event_of_failure_is_looked_up_or_believed(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.looks = [Look(error=InvalidImage("Not a picture."))]
        looked_up, believed = await gateway.submit(), await gateway.submit()
        await gateway.ticker.start(looked_up)
        await gateway.ticker.take_events([])
        await gateway.tick(event_text(looked_up, completed=False))
        failed = await gateway.job(looked_up.id)
        assert failed.error is not None
        assert failed.error.message == "Not a picture."
        fresh = Gateway(gateway.jobs.store, gateway.folder, asynchronous=True, clock=gateway.clock)
        await fresh.submit()
        other = await fresh.submit()
        await fresh.ticker.tick(0.0, [event_text(other, completed=False)])
        failed = await fresh.job(other.id)
        assert failed.error is not None
        assert failed.error.message == "ClientError: 413"
        assert (await gateway.job(believed.id)).state is JobState.RUNNING

    play(story, asynchronous=True)


def test_messages_that_are_no_events_of_ours_are_dropped(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        foreign = dataclasses.replace(await gateway.submit(), id="no-id-of-ours")
        unknown = dataclasses.replace(foreign, id=new_id(NOW))
        await gateway.tick(
            "", "[]", "{}", '{"Type": "Notification"}', event_text(foreign), event_text(unknown, output="s3://b/o")
        )
        assert gateway.endpoints.forgotten == []

    play(story, asynchronous=True)


class _Queue:
    """An EventSource with some messages, each of which comes until it is deleted."""

    def __init__(self, *messages: str) -> None:
        self.messages = dict(enumerate(messages))

    async def receive(self) -> list[tuple[str, str]]:
        await asyncio.sleep(0.01)
        return [(str(number), text) for number, text in self.messages.items()]

    async def delete(self, receipts: list[str]) -> None:
        for receipt in receipts:
            del self.messages[int(receipt)]


def test_the_loop_fetches_events_where_they_wait(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.looks = [Look(output=Output(b"out", "image/png"))]
        job = await gateway.submit()
        await gateway.ticker.start(job)
        queue = _Queue("no event", event_text(job))
        ticker = gateway_jobs.Ticker(
            gateway.jobs, gateway.endpoints, gateway_jobs.Sender(allow_private=True), {}, source=queue
        )
        stop = asyncio.Event()
        loop = asyncio.create_task(ticker.run(stop))
        assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        await until(lambda: not queue.messages)
        stop.set()
        await loop

    play(story, asynchronous=True)


def test_lambda_takes_sqs_events_and_a_schedule(store: JobStore, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:

        async def make() -> tuple[Gateway, Job]:
            gateway = Gateway(store, tmp_path, asynchronous=True)
            gateway.clock.now = time.time()
            gateway.endpoints.looks = [Look(output=Output(b"out", "image/png"))]
            return gateway, await gateway.submit()

        gateway, job = runner.run(make())
        handle = lambda_handler(gateway.ticker, runner)
        handle({"source": "aws.events", "detail-type": "Scheduled Event"}, None)
        assert gateway.endpoints.started == [job.id]
        gateway.clock.now += 1
        handle({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": event_text(job)}]}, None)
        assert runner.run(gateway.job(job.id)).state is JobState.SUCCEEDED


def test_a_form_ends_before_its_upload(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        uploads = Uploads(gateway.results, most_bytes=1_000_000, seconds=86_400, clock=gateway.clock)
        form = uploads.form("ours", "https://api.example.com/v1/uploads")
        gateway.clock.now = form.expires - 1
        uploads.write("ours", form.id, png(8, 8))
        gateway.clock.now = form.expires + 1
        with pytest.raises(NotFound):
            uploads.write("ours", form.id, png(9, 9))
        assert gateway.results.read_found(uploads.find("ours", form.id)) == png(8, 8)

    play(story)


def test_a_webhook_that_waits_in_a_lane_of_before_is_told(
    play: Callable[..., None], store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended jobs were all to be looked after before there was a lane for webhooks."""

    async def story(gateway: Gateway) -> None:
        with gateway_jobs.receiving() as receiver, monkeypatch.context() as before:
            before.setattr(Job, "lane", Lane.LOOK)
            for _ in range(2):
                job = await gateway.submit(webhook=receiver.url)
                assert store.replace(ended(job, JobState.CANCELED, NOW, 60)) is not None
            before.undo()
            assert len(store.due(Lane.LOOK, NOW, 9)) == 2
            await gateway.tick()
            assert len(receiver.requests) == 2
            assert store.due(Lane.LOOK, NOW, 9) == []
            await gateway.tick(after=61)
            assert gateway.files() == []
            assert (await gateway.jobs.list_jobs("ours")).jobs == []

    play(story, looks=2)


# Cleaning


def test_what_is_old_by_its_age_alone_is_removed_now_and_then(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.uploads.write("ours", gateway.uploads.new_id(), png(8, 8))
        await gateway.tick()
        assert len(gateway.files()) == 1
        await gateway.tick(after=61)
        assert len(gateway.files()) == 1, "it looks once an hour"
        await gateway.tick(after=3_600)
        assert gateway.files() == []

    play(story)


def test_jobs_begin_while_old_objects_are_looked_at(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.results.write("old/1", b"", "a/b")
        looking, may_end = threading.Event(), threading.Event()

        def look(name: str, now: float) -> bool:
            looking.set()
            return may_end.wait(60)

        cleaner = Cleaner(gateway.results, gateway.threads, {"old/": look})
        ticker = Ticker(gateway.jobs, gateway.endpoints, Sender(allow_private=True), {}, cleaner=cleaner)
        stop = asyncio.Event()
        loop = asyncio.create_task(ticker.run(stop))
        await until(looking.is_set)
        job = await gateway.submit()
        assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        assert "old/1" in gateway.files()
        may_end.set()
        await until(lambda: "old/1" not in gateway.files())
        stop.set()
        await loop

    play(story)


def test_an_object_that_cannot_be_cleaned_holds_up_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        results = Results(Folder(tmp_path), b"secret", most_bytes=1_000)
        for name in ("old/1", "old/2", "old/3", "old/4"):
            results.write(name, b"", "a/b")

        def look(name: str, now: float) -> bool:
            if name == "old/2":
                raise ValueError("A job that cannot be read.")
            if name == "old/3" and (tmp_path / name).is_file():
                (tmp_path / name).unlink()
                (tmp_path / name).mkdir()  # which is not removed as a file is
            return True

        cleaner = Cleaner(results, Threads(), {"old/": look})
        assert not await cleaner.clean(NOW)
        assert results.names("old/") == ["old/2"]
        results.write("old/5", b"", "a/b")
        assert not await cleaner.clean(NOW + 3_600)
        assert results.names("old/") == ["old/2"]

    asyncio.run(story())


def test_objects_are_looked_at_in_portions_and_again_after_a_failure(tmp_path: Path) -> None:
    async def story() -> None:
        results = Results(Folder(tmp_path), b"secret", most_bytes=1_000)
        for number in range(450):
            results.write(f"old/{number}", b"", "a/b")
        looked_at: list[str] = []

        def look(name: str, now: float) -> bool:
            looked_at.append(name)
            if len(looked_at) == 250:
                raise Unavailable("The store is away.")
            return True

        cleaner = Cleaner(results, Threads(), {"old/": look})
        assert await cleaner.clean(NOW)
        assert len(looked_at) == 200
        with pytest.raises(Unavailable):
            await cleaner.clean(NOW)
        assert await cleaner.clean(NOW)
        assert not await cleaner.clean(NOW)
        assert results.names("old/") == []

    asyncio.run(story())
