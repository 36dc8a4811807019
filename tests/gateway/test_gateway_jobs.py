"""Jobs as requests ask for them, on both stores, with a clock set by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from gateway_jobs import NOW, Gateway, event_text, passing, until

from pixelserve.errors import BadRequest, FetchRefused, NotFound, QueueFull, Unavailable
from pixelserve_gateway.errors import Conflict
from pixelserve_gateway.jobs import (
    JobState,
    Look,
    Output,
    OutputPlaces,
    threads,
)
from pixelserve_gateway.jobs.job import new_id


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


def test_a_job_for_which_there_is_no_place_leaves_no_input(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "PATIENCE", 0.1)

    async def story(gateway: Gateway) -> None:
        monkeypatch.setattr(gateway.threads, "check_writers", lambda: None)  # the store is silent from now on
        written: list[list[str]] = []
        write_input = gateway.jobs.files.write_input

        def write(*args: Any) -> None:
            write_input(*args)
            written.append(gateway.files())

        monkeypatch.setattr(gateway.jobs.files, "write_input", write)
        may_answer = threading.Event()
        silent = [asyncio.create_task(gateway.threads.write(may_answer.wait, 60)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await gateway.submit()
        assert [len(files) for files in written] == [1]
        assert gateway.files() == []
        may_answer.set()
        await asyncio.gather(*silent)
        assert await gateway.submit()
        assert len(gateway.files()) == 1

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

    play(story)


def test_a_canceled_job_stays_canceled_and_its_call_ends(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        gateway.endpoints.gate.clear()
        job = await gateway.submit()
        ticking = asyncio.create_task(gateway.tick())
        await until(lambda: len(gateway.endpoints.calls) == 1)
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
        await gateway.tick(event_text(job, output="s3://b/late"), after=5)
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
        await until(lambda: len(gateway.endpoints.calls) == 1)
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


def test_a_tenant_has_so_many_unfinished_jobs(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job, _ = await gateway.submit(key="k"), await gateway.submit()
        with pytest.raises(QueueFull, match=r"2 unfinished jobs.*Wait.*cancel") as refused:
            await gateway.submit()
        assert (refused.value.status, refused.value.retryable, refused.value.retry_after) == (429, True, 10)
        assert len(gateway.files()) == 2  # the inputs of two jobs
        assert (await gateway.submit(key="k")).id == job.id
        await gateway.submit("theirs")
        await gateway.jobs.cancel("ours", job.id)
        await gateway.submit()
        with pytest.raises(QueueFull):
            await gateway.submit()
        await gateway.tick()
        await gateway.submit()

    play(story, open_jobs=2)


def test_what_belongs_to_no_job_is_removed_when_the_loop_starts(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        job = await gateway.submit()
        for at in (NOW - 3_700, NOW):
            gateway.results.write(f"jobs/{new_id(at)}/input", b"orphan", "a/b")
        gateway.results.write("uploads/kept", b"", "a/b")
        stop = asyncio.Event()
        loop = asyncio.create_task(gateway.ticker.run(stop))
        assert (await gateway.jobs.wait("ours", job.id, 30)).state is JobState.SUCCEEDED
        await until(lambda: len(gateway.files()) == 3)  # the result, the young orphan, the upload
        stop.set()
        await loop

    play(story)


def test_a_webhook_that_cannot_be_called_is_refused_at_once(play: Callable[..., None]) -> None:
    async def story(gateway: Gateway) -> None:
        for url in ("ftp://example.com", "nothing", "https://", "https://u:p@example.com/", "https://a b/"):
            with pytest.raises(FetchRefused):
                await gateway.submit(webhook=url)
        assert (await gateway.jobs.list_jobs("ours")).jobs == []

    play(story)
