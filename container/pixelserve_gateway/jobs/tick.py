"""All work outside a request: `Ticker.tick(now)`, called by a loop, or by whoever keeps time elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from pixelserve.errors import PixelserveError, Unavailable
from pixelserve.observe import Attributes, tracing
from pixelserve_gateway.jobs.calling import Caller, Output
from pixelserve_gateway.jobs.deliveries import Deliveries, is_due
from pixelserve_gateway.jobs.events import EventSource, ResultEvent, read_events, texts_of
from pixelserve_gateway.jobs.job import (
    Job,
    JobError,
    JobState,
    Lane,
    OutputPlaces,
    StoredResult,
    ended,
    is_id,
    put_back,
    started,
    with_lease,
    with_webhook,
)
from pixelserve_gateway.jobs.service import JobService
from pixelserve_gateway.jobs.webhooks import JOB_ID, Phrase, Sender

INTERVAL = 0.5
"""Seconds between two ticks of the loop; a submission makes one at once."""
SWEEP_SECONDS = 600.0
"""Between two removals of what only its age makes old."""

logger = logging.getLogger(__name__)


class Ticker:
    """Runs jobs, and looks after them.

    It may stop at any moment, and any number may run beside each other, on any machine: each step is one conditional
    write, made after what it tells of. `phrases` are the webhook bodies by dialect, `source` where result events wait,
    if this process is to fetch them; `sweep` removes what only its age makes old, and is called now and then.
    """

    def __init__(
        self,
        jobs: JobService,
        caller: Caller,
        sender: Sender,
        phrases: Mapping[str, Phrase],
        source: EventSource | None = None,
        sweep: Callable[[], None] | None = None,
    ) -> None:
        self._jobs = jobs
        self._caller = caller
        self._deliveries = Deliveries(jobs, sender, phrases)
        self._source = source
        self._sweep = sweep
        self._swept = -math.inf
        self._in_work: dict[Lane, dict[str, asyncio.Task[None]]] = {Lane.CALL: {}, Lane.LOOK: {}}

    async def tick(self, now: float, messages: Iterable[str] = ()) -> None:
        """Does all that is due by `now`, and returns when it is done.

        `messages` are texts of result events. What fails is logged, and due again later. Raises Unavailable when the
        store does not do its work.
        """
        await self.take_events(read_events(messages))
        while tasks := await self.begin(min(now, self._now())):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def run(self, stop: asyncio.Event) -> None:
        """Ticks until `stop` is set, and begins new jobs while others are in work; then puts back what it has."""
        await self._surviving(self._jobs.threads.run(self._jobs.files.remove_orphans, self._jobs.store, self._now()))
        fetching = asyncio.create_task(self._fetch_events(stop))
        try:
            while not stop.is_set():
                await self._surviving(self.begin(self._now()))
                await self._jobs.wait_for_submission(INTERVAL)
        finally:
            tasks = [fetching, *self._tasks()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(self, now: float) -> list[asyncio.Task[None]]:
        """Begins what is due by `now` as far as there is room, and answers all that is in work."""
        if self._sweep is not None and now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            await self._surviving(self._jobs.threads.run(self._sweep))
        rules = self._jobs.rules
        for lane, room in ((Lane.CALL, rules.calls), (Lane.LOOK, rules.looks)):
            running = self._in_work[lane]
            if len(running) >= room:
                continue
            for job in await self._jobs.threads.run(self._jobs.store.due, lane, now, room):
                if len(running) < room:
                    self._begin(lane, job.id)
        return self._tasks()

    async def take_events(self, events: Iterable[ResultEvent]) -> None:
        """Notes the ends of asynchronous invocations. One that comes twice, or late, only has its output removed."""
        for event in events:
            job_id, step = event.inference_id, partial(self._with_event, event)
            if not is_id(job_id):
                continue
            if await self._jobs.change(job_id, step) is not None:
                self._begin(Lane.LOOK, job_id)
            elif await self._jobs.threads.run(self._jobs.store.get, job_id) is not None:  # not of another gateway
                await self._caller.forget(OutputPlaces(event.output, event.failure))

    async def start(self, job: Job) -> None:
        """Begins a job at once where that is quick: at an asynchronous endpoint. The next tick does what fails."""
        if self._caller.is_asynchronous(job.feature):
            await asyncio.wait([self._begin(Lane.CALL, job.id)])

    def _begin(self, lane: Lane, job_id: str) -> asyncio.Task[None]:
        """The task that is at the job, a new one unless there is one."""
        running = self._in_work[lane]
        if job_id not in running:
            work = self._call if lane is Lane.CALL else self._look_after
            running[job_id] = asyncio.create_task(self._surviving(work(job_id)))
            running[job_id].add_done_callback(lambda _: running.pop(job_id))
        return running[job_id]

    # Calls

    async def _call(self, job_id: str) -> None:
        """Takes the job, unless another has it, and makes the call."""
        lease = uuid.uuid4().hex
        taken = await self._jobs.change(job_id, lambda job: self._taken(job, lease))
        if taken is None:
            return
        if taken.state.is_terminal:
            await self._settle(taken)
            return
        async with self._leased(taken):
            try:
                await self._make_call(taken)
            except PixelserveError as error:
                await self._note_failure(taken, error)
            except asyncio.CancelledError:
                await self._jobs.change(job_id, lambda job: self._given_back(job, lease))
                raise
            except Exception:
                logger.exception("job %s failed in the gateway", job_id)
                await self._note_failure(taken, Unavailable("The gateway failed. Its log has the details."))

    def _taken(self, job: Job, lease: str) -> Job | None:
        now = self._now()
        if job.lane is not Lane.CALL or job.due > now:
            return None
        if job.expires <= now:
            return self._expired(job)
        return with_lease(job, lease, now, self._jobs.rules.lease)

    def _given_back(self, job: Job, lease: str) -> Job | None:
        return put_back(job, self._now(), self._now()) if job.lease == lease else None

    async def _make_call(self, job: Job) -> None:
        attributes: Attributes = {JOB_ID: job.id, "pixelserve.job.attempt": job.attempts}
        with tracing.span("job", job.trace, attributes=attributes) as span:
            await self._call_endpoint(dataclasses.replace(job, trace=span.trace))

    async def _call_endpoint(self, job: Job) -> None:
        call = await self._jobs.threads.run(self._jobs.files.read_call, job)
        if self._caller.is_asynchronous(job.feature):
            places = await self._caller.start(job, call, self._jobs.files.input_url(job))
            await self._note_start(job, places)
        else:
            await self._note_output(job, await self._caller.invoke(job, call))

    async def _note_start(self, job: Job, places: OutputPlaces) -> None:
        now = self._now()
        look_at = now + self._jobs.rules.pause_after_look(0.0)
        await self._jobs.change(
            job.id,
            lambda stored: started(stored, places, now, look_at) if stored.lease == job.lease else None,
        )

    async def _note_failure(self, job: Job, error: PixelserveError) -> None:
        """Queues the job again where another try may do, else ends it."""
        rules, now = self._jobs.rules, self._now()

        def step(stored: Job) -> Job | None:
            if stored.lease != job.lease:
                return None
            failed = dataclasses.replace(stored, failures=stored.failures + 1)
            if error.retryable and failed.failures < rules.failures:
                return put_back(failed, now, now + max(rules.pause_after(failed.failures), error.retry_after or 0))
            return ended(failed, JobState.FAILED, now, rules.kept, error=JobError.of(error))

        await self._settle(await self._jobs.change(job.id, step))

    async def _note_output(self, job: Job, output: Output) -> None:
        """Stores the output and ends the job; if the job is no longer in these hands, the output is thrown away."""
        result = await self._jobs.threads.run(self._jobs.files.write_result, job, output)
        finished = await self._jobs.change(job.id, lambda stored: self._succeeded(stored, job, result))
        if finished is None:
            await self._jobs.threads.run(self._jobs.files.remove_result, result)
        await self._settle(finished)

    def _succeeded(self, stored: Job, held: Job, result: StoredResult) -> Job | None:
        if stored.state.is_terminal or (stored.lease, stored.attempts) != (held.lease, held.attempts):
            return None
        return ended(stored, JobState.SUCCEEDED, self._now(), self._jobs.rules.kept, result=result)

    async def _settle(self, job: Job | None) -> None:
        """Does what is left to do for a job that has just ended."""
        if job is not None and job.state.is_terminal:
            if job.webhook is not None:
                self._begin(Lane.LOOK, job.id)
            await self._jobs.threads.run(self._jobs.files.remove_input, job)
            if job.outputs is not None:
                await self._caller.forget(job.outputs)

    @contextlib.asynccontextmanager
    async def _leased(self, job: Job) -> AsyncIterator[None]:
        """Renews the lease; when it is lost, ends the block."""
        block = asyncio.current_task()
        assert block is not None
        renewing = asyncio.create_task(self._renew(job, block))
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self, job: Job, block: asyncio.Task[None]) -> None:
        seconds = self._jobs.rules.lease

        def step(stored: Job) -> Job | None:
            return dataclasses.replace(stored, due=self._now() + seconds) if stored.lease == job.lease else None

        while True:
            await asyncio.sleep(seconds / 3)
            with contextlib.suppress(Unavailable):
                if await self._jobs.change(job.id, step) is None:
                    break
        block.cancel()

    # Looking after

    async def _look_after(self, job_id: str) -> None:
        """Does what is due until nothing is. What fails is due again later, so that it keeps nothing else waiting."""
        try:
            while (job := await self._jobs.threads.run(self._jobs.store.get, job_id)) is not None:
                if job.lane is not Lane.LOOK or job.due > self._now():
                    break
                await self._do_due(job)
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
            await self._settle(await self._jobs.change(job.id, self._expired_unless_ended))
        else:
            await self._look(job)

    def _expired(self, job: Job) -> Job:
        error = JobError(504, "expired", "The job was not finished in time. Send it again.", None, retryable=True)
        return ended(job, JobState.EXPIRED, self._now(), self._jobs.rules.kept, error=error)

    def _expired_unless_ended(self, job: Job) -> Job | None:
        return None if job.state.is_terminal else self._expired(job)

    async def _look(self, job: Job) -> None:
        """Looks at an asynchronous invocation, and notes what there is."""
        assert job.outputs is not None
        look = await self._caller.look(job, job.outputs)
        if look.output is not None:
            numbered = await self._jobs.change(job.id, _numbered)
            if numbered is not None:
                await self._note_output(numbered, look.output)
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

        await self._settle(await self._jobs.change(job.id, step))

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

    def _now(self) -> float:
        return self._jobs.clock()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for running in self._in_work.values() for task in running.values()]

    async def _surviving(self, work: Coroutine[Any, Any, Any]) -> None:
        """Does the work; what it raises is logged. What was due stays due, or is again when its lease has ended."""
        try:
            await work
        except PixelserveError as error:
            logger.warning("jobs: %s", error.message)
        except Exception:
            logger.exception("jobs: a step failed in the gateway")


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
