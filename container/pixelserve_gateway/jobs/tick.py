"""All work outside a request: `Ticker.tick(now)`, called by a loop, or by whoever keeps time elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from pixelserve.errors import PixelserveError, Unavailable
from pixelserve_gateway.jobs.calling import Caller
from pixelserve_gateway.jobs.cleaning import Cleaner
from pixelserve_gateway.jobs.deliveries import Deliveries, is_due
from pixelserve_gateway.jobs.events import EventSource, ResultEvent, read_events, texts_of
from pixelserve_gateway.jobs.job import (
    Job,
    JobError,
    JobState,
    Lane,
    OutputPlaces,
    ended,
    is_id,
    started,
    with_webhook,
)
from pixelserve_gateway.jobs.places import Places
from pixelserve_gateway.jobs.service import JobService
from pixelserve_gateway.jobs.webhooks import Phrase, Sender
from pixelserve_gateway.jobs.worker import Worker

INTERVAL = 0.5
"""Seconds between two ticks of the loop; a submission makes one at once."""
CLEANING_PAUSE = 30.0
"""Seconds before the next look whether there is something to clean, after a failure too."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Ticker:
    """Runs jobs, and looks after them.

    It may stop at any moment, and any number may run beside each other, on any machine: each step is one conditional
    write, made after what it tells of. `phrases` are the webhook bodies by dialect, `source` where result events wait,
    if this process is to fetch them; `cleaner` removes what is needed no more.
    """

    def __init__(
        self,
        jobs: JobService,
        caller: Caller,
        sender: Sender,
        phrases: Mapping[str, Phrase],
        source: EventSource | None = None,
        cleaner: Cleaner | None = None,
    ) -> None:
        self._jobs = jobs
        self._caller = caller
        self._worker = Worker(jobs, caller, self._tell)
        self._deliveries = Deliveries(jobs, sender, phrases)
        self._source = source
        self._cleaner = cleaner
        rules = jobs.rules
        self._places = {
            lane: Places(partial(self._do, lane), room, each)
            for lane, room, each in (
                (Lane.CALL, rules.calls, rules.calls),
                (Lane.TELL, rules.tells, rules.tells_each),
                (Lane.LOOK, rules.looks, rules.looks),
            )
        }

    async def tick(self, now: float, messages: Iterable[str] = ()) -> None:
        """Does all that is due by `now`, and returns when it is done.

        `messages` are texts of result events. What fails is logged, and due again later. Raises Unavailable when the
        store does not do its work.
        """
        await self.take_events(read_events(messages))
        while tasks := await self.begin(min(now, self._now())):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await self._surviving(self._clean())

    async def run(self, stop: asyncio.Event) -> None:
        """Ticks until `stop` is set, and begins new jobs while others are in work; then puts back what it has."""
        beside = [asyncio.create_task(self._fetch_events(stop)), asyncio.create_task(self._clean_on())]
        try:
            while not stop.is_set():
                await self._surviving(self.begin(self._now()))
                await self._jobs.wait_for_submission(INTERVAL)
        finally:
            tasks = [*beside, *self._tasks()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(self, now: float) -> list[asyncio.Task[None]]:
        """Begins what is due by `now` as far as there is room, and answers all that is in work."""
        read, store = self._jobs.threads.read, self._jobs.store
        for lane in (Lane.CALL, Lane.TELL):
            places = self._places[lane]
            if not places.is_full:
                places.begin_in_turn(await read(store.due_by_tenant, lane, now, places.each))
        looks = self._places[Lane.LOOK]
        if not looks.is_full:
            for job in await read(store.due, Lane.LOOK, now, looks.room):
                looks.begin_if_free(job.tenant, job.id)
        return self._tasks()

    async def take_events(self, events: Iterable[ResultEvent]) -> None:
        """Notes the ends of asynchronous invocations. One that comes twice, or late, only has its output removed."""
        for event in events:
            job_id, step = event.inference_id, partial(self._with_event, event)
            if not is_id(job_id):
                continue
            job = await self._jobs.change(job_id, step)
            if job is not None:
                self._places[job.lane].begin_if_free(job.tenant, job_id)
            elif await self._get(job_id) is not None:  # not of another gateway
                await self._caller.forget(OutputPlaces(event.output, event.failure))

    async def start(self, job: Job) -> None:
        """Begins a job at once where that is quick: at an asynchronous endpoint. The next tick does what fails."""
        if self._caller.is_asynchronous(job.feature):
            await asyncio.wait([self._places[Lane.CALL].begin(job.tenant, job.id)])

    async def _do(self, lane: Lane, job_id: str) -> None:
        await self._surviving(self._worker.work(job_id) if lane is Lane.CALL else self._look_after(lane, job_id))

    def _tell(self, job: Job) -> None:
        if job.webhook is not None:
            self._places[Lane.TELL].begin_if_free(job.tenant, job.id)

    # Looking after

    async def _look_after(self, lane: Lane, job_id: str) -> None:
        """Does what is due until nothing is. What fails is due again later, so that it keeps nothing else waiting."""
        try:
            job = await self._get(job_id)
            if job is not None and job.lane is not lane:
                await self._jobs.change(job_id, lambda stored: stored)  # an old row, which says another lane
            while job is not None and job.lane is lane and job.due <= self._now():
                await self._do_due(job)
                job = await self._get(job_id)
        except Exception:
            later = self._now() + self._jobs.rules.poll
            await self._jobs.change(job_id, lambda stored: dataclasses.replace(stored, due=max(stored.due, later)))
            raise

    async def _do_due(self, job: Job) -> None:
        if job.state.is_terminal:
            if job.expires <= self._now():
                await self._jobs.remove(job)
            elif is_due(job.webhook, self._now()):
                await self._deliveries.deliver(job.id)
            else:
                await self._jobs.change(job.id, lambda job: with_webhook(job, job.webhook))
        elif job.expires <= self._now():
            await self._worker.settle(await self._jobs.change(job.id, self._expired_unless_ended))
        else:
            await self._look(job)

    def _expired_unless_ended(self, job: Job) -> Job | None:
        return None if job.state.is_terminal else self._worker.expired(job)

    async def _look(self, job: Job) -> None:
        """Looks at an asynchronous invocation, and notes what there is."""
        assert job.outputs is not None
        look = await self._caller.look(job, job.outputs)
        if look.output is not None:
            numbered = await self._jobs.change(job.id, _numbered)
            if numbered is not None:
                await self._worker.note_output(numbered, look.output)
            return
        now = self._now()

        def step(stored: Job) -> Job | None:
            if stored.state.is_terminal:
                return None
            if look.error is not None:
                return ended(stored, JobState.FAILED, now, self._jobs.rules.kept, error=JobError.of(look.error))
            rules = self._jobs.rules
            later = min(now + rules.pause_after_look(now - stored.created), stored.expires)
            return dataclasses.replace(stored, due=later, progress=rules.told(stored, look.fraction, now))

        await self._worker.settle(await self._jobs.change(job.id, step))

    def _with_event(self, event: ResultEvent, job: Job) -> Job | None:
        """The job to be looked at now, or failed where the event does not say where to look."""
        if job.state.is_terminal:
            return None
        known = job.outputs or OutputPlaces("", "")
        places = OutputPlaces(event.output or known.output, event.failure or known.failure)
        now = self._now()
        if event.is_completed or places.failure:
            return started(job, places, now, now)
        error = JobError(500, "internal", event.reason or "The invocation failed.", None, retryable=False)
        return ended(job, JobState.FAILED, now, self._jobs.rules.kept, error=error)

    async def _fetch_events(self, stop: asyncio.Event) -> None:
        while self._source is not None and not stop.is_set():
            await self._surviving(self._fetch_some(self._source))

    async def _fetch_some(self, source: EventSource) -> None:
        try:
            messages = await source.receive()
        except Unavailable:
            await asyncio.sleep(INTERVAL)
            raise
        await self.take_events(read_events(text for _, text in messages))
        await source.delete([receipt for receipt, _ in messages])

    # Helpers

    async def _get(self, job_id: str) -> Job | None:
        return await self._jobs.threads.read(self._jobs.store.get, job_id)

    def _now(self) -> float:
        return self._jobs.clock()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for places in self._places.values() for task in places.tasks]

    async def _clean(self) -> bool:
        """Whether there is more to clean at once."""
        return self._cleaner is not None and await self._cleaner.clean(self._now())

    async def _clean_on(self) -> None:
        while True:
            is_more = await self._surviving(self._clean())
            await asyncio.sleep(0 if is_more else CLEANING_PAUSE)

    async def _surviving(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work answers; what it raises is logged. What was due stays due, or is when its lease has ended."""
        try:
            return await work
        except PixelserveError as error:
            logger.warning("jobs: %s", error.message)
        except Exception:
            logger.exception("jobs: a step failed in the gateway")
        return None


def _numbered(job: Job) -> Job | None:
    """The job with a number for one more attempt to store its result: of several, the last one counts."""
    return None if job.state.is_terminal else dataclasses.replace(job, attempts=job.attempts + 1)


def lambda_handler(ticker: Ticker, runner: asyncio.Runner) -> Callable[[Mapping[str, Any], Any], None]:
    """A handler for AWS Lambda, to be called with SQS events and by a schedule, on one event loop for all calls.

    What it raises has SQS bring the messages again.
    """

    def handle(event: Mapping[str, Any], context: Any) -> None:
        runner.run(ticker.tick(time.time(), texts_of(event)))

    return handle
