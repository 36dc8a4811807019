"""Jobs from submission to removal, on both stores, with a clock set by hand."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import gateway_jobs
import pytest
from gateway_jobs import FEATURE, NOW, Gateway, passing

from pixelserve.errors import BadRequest, FetchRefused, InvalidImage, NotFound, Unavailable
from pixelserve_gateway.jobs import (
    Conflict,
    Job,
    JobProgress,
    JobState,
    JobStore,
    KeptCall,
    Look,
    Output,
    OutputPlaces,
    lambda_handler,
)
from pixelserve_gateway.jobs.job import new_id

Story = Callable[[Gateway], Coroutine[Any, Any, None]]


@pytest.fixture
def play(store: JobStore, tmp_path: Path) -> Callable[..., None]:
    """Runs a story with a gateway of its own."""

    def run(story: Story, **options: Any) -> None:
        async def playing() -> None:
            gateway = Gateway(store, tmp_path / "results", **options)
            await story(gateway)
            gateway.threads.close()

        asyncio.run(playing())

    return run


def _event(job: Job, *, completed: bool = True, output: str = "", failure: str = "", enveloped: bool = True) -> str:
    message = {
        "invocationStatus": "Completed" if completed else "Failed",
        "requestParameters": {"endpointName": "e", "inputLocation": "s3://b/in"},
        "responseParameters": {"contentType": "image/png", "outputLocation": output, "failureLocation": failure},
        "failureReason": "" if completed else "ClientError: 413",
        "inferenceId": job.id,
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    text = json.dumps(message)
    return json.dumps({"Type": "Notification", "MessageId": "1", "Message": text}) if enveloped else text


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
        await _until(lambda: len(gateway.endpoints.calls) == 2)
        await asyncio.sleep(0.1)
        assert len(gateway.endpoints.calls) == 2
        gateway.endpoints.gate.set()
        await ticking
        assert {(await gateway.job(job.id)).state for job in jobs} == {JobState.SUCCEEDED}

    play(story, calls=2)


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
        await _until(lambda: len(slow.endpoints.calls) == 1)
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
        await _until(lambda: len(gateway.endpoints.calls) == 1)
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


def test_the_loop_puts_back_what_it_has_when_it_stops(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        stop = asyncio.Event()
        loop = asyncio.create_task(gateway.ticker.run(stop))
        job = await gateway.submit()
        await _until(lambda: len(gateway.endpoints.calls) == 1)
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
        await _until(lambda: len(gateway.endpoints.calls) == 1)
        jobs.append(await gateway.submit())
        await _until(lambda: len(gateway.endpoints.calls) == 2)
        gateway.endpoints.gate.set()
        for job in jobs:
            assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        stop.set()
        await loop

    play(story)


# Asynchronous endpoints


def test_an_asynchronous_job_is_started_polled_and_collected(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        told = JobProgress(0.5, estimated=False)
        gateway.endpoints.looks = [Look(), Look(progress=told), Look(output=Output(b"out", "image/png"))]
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
        await gateway.tick(after=2)
        assert (await gateway.job(job.id)).progress == told
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
            message = _event(job, output="s3://b/other.out", enveloped=enveloped)
            await gateway.tick(message, message)
            done = await gateway.job(job.id)
            assert done.state is JobState.SUCCEEDED
            assert [place.output for place in gateway.endpoints.looked_at] == ["s3://b/other.out"]
            await gateway.tick(message, _event(job, completed=False), after=1)
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
        await _until(lambda: len(dead.endpoints.calls) == 1)
        await alive.tick(_event(job, output="s3://b/o"))
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
        await gateway.tick(_event(looked_up, completed=False))
        failed = await gateway.job(looked_up.id)
        assert failed.error is not None
        assert failed.error.message == "Not a picture."
        fresh = Gateway(gateway.jobs.store, gateway.folder, asynchronous=True, clock=gateway.clock)
        await fresh.submit()
        other = await fresh.submit()
        await fresh.ticker.tick(0.0, [_event(other, completed=False)])
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
            "", "[]", "{}", '{"Type": "Notification"}', _event(foreign), _event(unknown, output="s3://b/o")
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
        queue = _Queue("no event", _event(job))
        ticker = gateway_jobs.Ticker(
            gateway.jobs, gateway.endpoints, gateway_jobs.Sender(allow_private=True), {}, source=queue
        )
        stop = asyncio.Event()
        loop = asyncio.create_task(ticker.run(stop))
        assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        await _until(lambda: not queue.messages)
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
        handle({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": _event(job)}]}, None)
        assert runner.run(gateway.job(job.id)).state is JobState.SUCCEEDED


# What requests ask for


def test_a_key_names_one_job_and_another_body_is_refused(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job = await gateway.submit(key="k", body_hash="1")
        again = await gateway.submit(key="k", body_hash="1")
        assert again == job
        with pytest.raises(Conflict, match="another body") as refused:
            await gateway.submit(key="k", body_hash="2")
        assert refused.value.status == 409
        theirs = await gateway.submit("theirs", key="k", body_hash="2")
        assert theirs.id != job.id
        assert await gateway.jobs.find("ours", "k") == job
        assert await gateway.jobs.find("ours", "other") is None
        raced = await asyncio.gather(*(gateway.submit(key="r", body_hash="1") for _ in range(8)))
        assert len({one.id for one in raced}) == 1
        assert len(gateway.files()) == 3  # the inputs of three jobs
        for key in ("", "x" * 256):
            with pytest.raises(BadRequest, match="1 to 255"):
                await gateway.submit(key=key)

    play(story)


def test_tenants_see_only_their_own(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job = await gateway.submit("theirs")
        for ask in (gateway.jobs.get, gateway.jobs.cancel, gateway.jobs.delete):
            with pytest.raises(NotFound):
                await ask("ours", job.id)
        with pytest.raises(NotFound):
            await gateway.jobs.wait("ours", job.id, 0)
        assert (await gateway.jobs.list_jobs("ours")).jobs == []
        assert (await gateway.jobs.get("theirs", job.id)).state is JobState.QUEUED

    play(story)


@pytest.mark.parametrize("job_id", ["", "x", "-1", "0", "9" * 19, "9" * 400, "１", "1.5", "../1"])
def test_what_is_no_id_is_not_found(play: Callable[..., None], job_id: str) -> None:
    async def story(gateway: Gateway) -> None:
        with pytest.raises(NotFound):
            await gateway.jobs.get("ours", job_id)

    play(story)


def test_jobs_are_listed_by_pages_and_states(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        jobs = []
        for _ in range(5):
            gateway.clock.now += 1
            jobs.append(await gateway.submit())
        await gateway.jobs.cancel("ours", jobs[2].id)
        pages, cursor = [], None
        while True:
            page = await gateway.jobs.list_jobs("ours", cursor=cursor, limit=2)
            pages.append([job.id for job in page.jobs])
            cursor = page.cursor
            if cursor is None:
                break
        assert pages == [[jobs[4].id, jobs[3].id], [jobs[2].id, jobs[1].id], [jobs[0].id]]
        canceled = await gateway.jobs.list_jobs("ours", states=[JobState.CANCELED])
        assert [job.id for job in canceled.jobs] == [jobs[2].id]
        for options in ({"limit": 0}, {"limit": 101}, {"cursor": "x"}):
            with pytest.raises(BadRequest):
                await gateway.jobs.list_jobs("ours", **options)  # type: ignore[arg-type]

    play(story)


def test_waiting_ends_with_the_job_or_the_time(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job = await gateway.submit()
        assert (await gateway.jobs.wait("ours", job.id, 0.1)).state is JobState.QUEUED
        waiting = asyncio.create_task(gateway.jobs.wait("ours", job.id, 59))
        await asyncio.sleep(0.05)
        await gateway.tick()
        assert (await waiting).state is JobState.SUCCEEDED
        for seconds in (-1, 60, float("nan")):
            with pytest.raises(BadRequest, match="less than 60"):
                await gateway.jobs.wait("ours", job.id, seconds)

    play(story)


def test_a_canceled_job_stays_canceled_and_its_call_ends(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        job = await gateway.submit()
        ticking = asyncio.create_task(gateway.tick())
        await _until(lambda: len(gateway.endpoints.calls) == 1)
        canceled = await gateway.jobs.cancel("ours", job.id)
        assert (canceled.state, canceled.finished) == (JobState.CANCELED, NOW)
        await ticking  # the renewal sees that the lease is lost
        assert gateway.endpoints.canceled == 1
        assert await gateway.job(job.id) == canceled
        assert gateway.files() == []
        with pytest.raises(Conflict, match="canceled already"):
            await gateway.jobs.cancel("ours", job.id)

    play(story, lease=0.2)


def test_the_answer_of_a_canceled_invocation_is_thrown_away(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.looks = [Look(output=Output(b"out", "image/png"))]
        job = await gateway.submit()
        await gateway.ticker.start(job)
        await gateway.jobs.cancel("ours", job.id)
        await gateway.tick(_event(job, output="s3://b/late"), after=5)
        assert (await gateway.job(job.id)).state is JobState.CANCELED
        assert gateway.endpoints.forgotten == [OutputPlaces("s3://b/late", "")]
        assert gateway.files() == []

    play(story, asynchronous=True)


def test_a_deleted_job_is_gone_with_its_result(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job, queued = await gateway.submit(key="k"), await gateway.submit()
        await gateway.jobs.delete("ours", queued.id)
        await gateway.tick()
        await gateway.jobs.delete("ours", job.id)
        for gone in (job, queued):
            with pytest.raises(NotFound):
                await gateway.job(gone.id)
        assert gateway.files() == []
        assert (await gateway.submit(key="k", body_hash="another")).id != job.id

    play(story)


def test_a_job_deleted_while_it_runs_leaves_nothing(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        job = await gateway.submit()
        ticking = asyncio.create_task(gateway.tick())
        await _until(lambda: len(gateway.endpoints.calls) == 1)
        await gateway.jobs.delete("ours", job.id)
        gateway.endpoints.gate.set()
        await ticking
        assert gateway.files() == []

    play(story)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_unfinished_job_expires_and_a_finished_one_is_removed(play: Callable[..., None], asynchronous: bool) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.answers = [b"" if asynchronous else passing(retry_after=3600)]
        job = await gateway.submit()
        await gateway.tick()
        await gateway.tick(after=99)
        assert not (await gateway.job(job.id)).state.is_terminal
        await gateway.tick(after=1)
        expired = await gateway.job(job.id)
        assert (expired.state, expired.expires) == (JobState.EXPIRED, NOW + 100 + 50)
        assert expired.error is not None
        assert expired.error.code == "expired"
        assert gateway.files() == []
        await gateway.tick(after=49)
        await gateway.job(job.id)
        await gateway.tick(after=1)
        with pytest.raises(NotFound):
            await gateway.job(job.id)

    play(story, asynchronous=asynchronous, unfinished=100.0, kept=50.0)


def test_a_result_is_removed_with_its_job(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        await gateway.submit(key="k")
        await gateway.tick()
        assert len(gateway.files()) == 1
        await gateway.tick(after=86_400)
        assert gateway.files() == []
        assert await gateway.jobs.find("ours", "k") is None

    play(story)


def test_what_belongs_to_no_job_is_removed_when_the_loop_starts(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job = await gateway.submit()
        for at in (NOW - 3_700, NOW):
            gateway.results.write(f"jobs/{new_id(at)}/input", b"orphan", "a/b")
        gateway.results.write("uploads/kept", b"", "a/b")
        stop = asyncio.Event()
        loop = asyncio.create_task(gateway.ticker.run(stop))
        assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        stop.set()
        await loop
        assert len(gateway.files()) == 3  # the result, the young orphan, the upload

    play(story)


def test_a_webhook_that_cannot_be_called_is_refused_at_once(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        for url in ("ftp://example.com", "nothing", "https://", "https://u:p@example.com/", "https://a b/"):
            with pytest.raises(FetchRefused):
                await gateway.submit(webhook=url)
        assert (await gateway.jobs.list_jobs("ours")).jobs == []

    play(story)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
