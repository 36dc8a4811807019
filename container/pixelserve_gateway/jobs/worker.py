"""Makes the calls of jobs under a lease, and notes how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import uuid
from collections.abc import AsyncIterator, Callable

from pixelserve.errors import PixelserveError, Unavailable
from pixelserve.observe import Attributes, tracing
from pixelserve_gateway.jobs.calling import Caller, Output
from pixelserve_gateway.jobs.job import (
    Job,
    JobError,
    JobState,
    Lane,
    OutputPlaces,
    StoredResult,
    ended,
    put_back,
    started,
    with_lease,
)
from pixelserve_gateway.jobs.service import JobService
from pixelserve_gateway.jobs.webhooks import JOB_ID

logger = logging.getLogger(__name__)


class Worker:
    """Takes jobs and ends them. `tell` is given each job that has ended."""

    def __init__(self, jobs: JobService, caller: Caller, tell: Callable[[Job], None]) -> None:
        self._jobs = jobs
        self._caller = caller
        self._tell = tell

    async def work(self, job_id: str) -> None:
        """Takes the job, unless another has it, and makes the call."""
        lease = uuid.uuid4().hex
        taken = await self._jobs.change(job_id, lambda job: self._taken(job, lease))
        if taken is None:
            return
        if taken.state.is_terminal:
            await self.settle(taken)
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
            return self.expired(job)
        return with_lease(job, lease, now, self._jobs.rules.lease)

    def _given_back(self, job: Job, lease: str) -> Job | None:
        return put_back(job, self._now(), self._now()) if job.lease == lease else None

    async def _make_call(self, job: Job) -> None:
        attributes: Attributes = {JOB_ID: job.id, "pixelserve.job.attempt": job.attempts}
        with tracing.span("job", job.trace, attributes=attributes) as span:
            await self._call_endpoint(dataclasses.replace(job, trace=span.trace))

    async def _call_endpoint(self, job: Job) -> None:
        call = await self._jobs.threads.files(self._jobs.files.read_call, job)
        if self._caller.is_asynchronous(job.feature):
            places = await self._caller.start(job, call, self._jobs.files.input_url(job))
            await self._note_start(job, places)
        else:
            await self.note_output(job, await self._caller.invoke(job, call))

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

        await self.settle(await self._jobs.change(job.id, step))

    async def note_output(self, job: Job, output: Output) -> None:
        """Stores the output and ends the job; if the job is no longer in these hands, the output is thrown away."""
        result = await self._jobs.threads.files(self._jobs.files.write_result, job, output)
        finished = await self._jobs.change(job.id, lambda stored: self._succeeded(stored, job, result))
        if finished is None:
            await self._jobs.threads.files(self._jobs.files.remove_result, result)
        await self.settle(finished)

    def _succeeded(self, stored: Job, held: Job, result: StoredResult) -> Job | None:
        if stored.state.is_terminal or (stored.lease, stored.attempts) != (held.lease, held.attempts):
            return None
        return ended(stored, JobState.SUCCEEDED, self._now(), self._jobs.rules.kept, result=result)

    async def settle(self, job: Job | None) -> None:
        """Does what is left to do for a job that has just ended."""
        if job is not None and job.state.is_terminal:
            self._tell(job)
            await self._jobs.threads.files(self._jobs.files.remove_input, job)
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

    def expired(self, job: Job) -> Job:
        """The job, given up."""
        error = JobError(504, "expired", "The job was not finished in time. Send it again.", None, retryable=True)
        return ended(job, JobState.EXPIRED, self._now(), self._jobs.rules.kept, error=error)

    def _now(self) -> float:
        return self._jobs.clock()
