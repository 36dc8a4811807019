"""Jobs as requests see them: submit, get, list, wait, cancel, delete."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pixelserve.errors import BadRequest, NotFound, QueueFull, Unavailable
from pixelserve.observe import NO_TRACE, Trace
from pixelserve_gateway.errors import Conflict
from pixelserve_gateway.jobs.calling import KeptCall
from pixelserve_gateway.jobs.files import JobFiles
from pixelserve_gateway.jobs.job import Job, JobState, Webhook, ended, is_id, new_id
from pixelserve_gateway.jobs.rules import Rules
from pixelserve_gateway.jobs.store import JobStore, change
from pixelserve_gateway.jobs.threads import NoPlace, Threads, to_the_end
from pixelserve_gateway.jobs.webhooks import SCHEDULES, check_webhook_url

MOST_LISTED = 100
MOST_WAIT = 59.0
"""Seconds; proxies in between give up after 60."""
LONGEST_KEY = 255
_IDS = 5
_FIRST_LOOK, _LAST_LOOK = 0.05, 1.0


@dataclass(frozen=True)
class Order:
    """What a job is asked to be. `key` is the request's Idempotency-Key, `body_hash` tells its body from others."""

    tenant: str
    dialect: str
    call: KeptCall
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    key: str | None = None
    body_hash: str = ""
    webhook: Webhook | None = None
    trace: Trace = NO_TRACE


@dataclass(frozen=True)
class JobPage:
    """Jobs, newest first, and the cursor of the next page; None: there is none."""

    jobs: list[Job]
    cursor: str | None


class JobService:
    """The jobs of all tenants. Another tenant's job is NotFound.

    What blocks runs on `threads`. `clock` tells Unix time.
    """

    def __init__(
        self,
        store: JobStore,
        files: JobFiles,
        rules: Rules,
        threads: Threads,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.files = files
        self.rules = rules
        self.threads = threads
        self.clock = clock
        self._submitted = asyncio.Event()

    async def submit(self, order: Order) -> Job:
        """The accepted job; of a key that the tenant has used, the job that stands.

        It is stored before this returns: no death of this process loses it. Raises Conflict for a used key with
        another body, BadRequest for a key that is too long, FetchRefused for a webhook that cannot be called, QueueFull
        for a tenant with as many unfinished jobs as the rules allow.
        """
        _check(order)
        return await to_the_end(self._submit(order))  # a caller who goes away leaves a whole job, or none

    async def get(self, tenant: str, job_id: str) -> Job:
        """The job as it is, its progress up to date. Raises NotFound."""
        job = await self.threads.read(self.store.get, job_id) if is_id(job_id) else None
        if job is None or job.tenant != tenant:
            raise NotFound(f"There is no job {job_id[:64]!r}. It may have been deleted, or removed after it expired.")
        return dataclasses.replace(job, progress=self.rules.progress_of(job, self.clock()))

    async def find(self, tenant: str, key: str) -> Job | None:
        """The tenant's job of that key."""
        job = await self.threads.read(self.store.find, tenant, key)
        return job and dataclasses.replace(job, progress=self.rules.progress_of(job, self.clock()))

    async def list_jobs(
        self, tenant: str, *, states: Collection[JobState] = (), cursor: str | None = None, limit: int = 20
    ) -> JobPage:
        """The tenant's jobs in any of `states`, all if there are none. Raises BadRequest for a bad cursor or limit."""
        if not 1 <= limit <= MOST_LISTED:
            raise BadRequest(f"limit is a number from 1 to {MOST_LISTED}.", param="limit")
        if cursor is not None and not is_id(cursor):
            raise BadRequest("The cursor is not one that a list answered. Begin without one.", param="cursor")
        found = await self.threads.read(self.store.jobs, tenant, states, cursor, limit + 1)
        now = self.clock()
        jobs = [dataclasses.replace(job, progress=self.rules.progress_of(job, now)) for job in found[:limit]]
        return JobPage(jobs, jobs[-1].id if len(found) > limit else None)

    async def wait(self, tenant: str, job_id: str, seconds: float) -> Job:
        """The job when it has ended, or as it is after `seconds`, of which it takes MOST_WAIT. Raises NotFound.

        More are no error: a caller's preference must not be one (RFC 7240, 2), least of all when its job is accepted.
        """
        until, pause = time.monotonic() + min(seconds, MOST_WAIT), _FIRST_LOOK
        while True:
            job = await self.get(tenant, job_id)
            left = until - time.monotonic()
            if job.state.is_terminal or left <= 0:
                return job
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LAST_LOOK)

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """The job, canceled: what is still made of it is thrown away. Raises NotFound; Conflict when it has ended."""
        await self.get(tenant, job_id)

        def step(job: Job) -> Job | None:
            if job.state.is_terminal:
                raise Conflict(f"The job has {job.state} already. Delete it to remove it.")
            return ended(job, JobState.CANCELED, self.clock(), self.rules.kept)

        canceled = await self.threads.write_now(change, self.store, job_id, step)
        if canceled is None:
            raise NotFound(f"There is no job {job_id!r} any more.")
        await self.threads.files(self.files.remove_all, canceled)
        return canceled

    async def delete(self, tenant: str, job_id: str) -> None:
        """Removes the job, its inputs and its result; one that runs is canceled by that. Raises NotFound."""
        while True:
            job = await self.get(tenant, job_id)
            if await self.remove(job):
                return

    async def remove(self, job: Job) -> bool:
        """Removes what belongs to the job, then this version of it. False when another is stored, or none."""
        self.threads.check_writers()
        await self.threads.files(self.files.remove_all, job)
        return await self.threads.write_now(self.store.remove, job)

    async def change(self, job_id: str, step: Callable[[Job], Job | None]) -> Job | None:
        """`store.change` on a thread, for work outside requests."""
        return await self.threads.write(change, self.store, job_id, step)

    async def wait_for_submission(self, seconds: float) -> None:
        """Returns when a job was submitted to this process since the last time, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._submitted.wait()
        self._submitted.clear()

    async def _submit(self, order: Order) -> Job:
        if order.key is not None:
            standing = await self.threads.read(self.store.find, order.tenant, order.key)
            if standing is not None:
                return _same(standing, order)
        await self._check_room(order.tenant)
        self.threads.check_writers()
        for _ in range(_IDS):
            stored = await self._add(self._new_job(order), order.call.body)
            if stored is not None:
                self._submitted.set()
                return _same(stored, order)
        raise Unavailable("No id for the job was free. Try again.")

    async def _add(self, job: Job, body: bytes) -> Job | None:
        """`store.add` with the input, which is removed where the job is surely not stored."""
        await self.threads.files(self.files.write_input, job, body)
        try:
            stored = await self.threads.write_now(self.store.add, job)
        except NoPlace:
            await self.threads.files(self.files.remove_input, job)
            raise
        if stored is None or stored.id != job.id:
            await self.threads.files(self.files.remove_input, job)
        return stored

    async def _check_room(self, tenant: str) -> None:
        """Raises QueueFull. Those that come at the same moment do not see each other, and may be too many."""
        most = self.rules.open_jobs
        if await self.threads.read(self.store.count_unfinished, tenant, most) >= most:
            raise QueueFull(
                f"You have {most:,} unfinished jobs, the most that a tenant may have. Wait until some have ended, or "
                "cancel some.",
                retry_after=math.ceil(self.rules.typical),
            )

    def _new_job(self, order: Order) -> Job:
        now = self.clock()
        return Job(
            id=new_id(now),
            tenant=order.tenant,
            feature=order.call.feature,
            dialect=order.dialect,
            call=order.call.words,
            data=order.data,
            trace=order.trace,
            created=now,
            updated=now,
            expires=now + self.rules.unfinished,
            due=now,
            key=order.key,
            body_hash=order.body_hash,
            webhook=order.webhook,
        )


def _check(order: Order) -> None:
    if order.key is not None and not 1 <= len(order.key) <= LONGEST_KEY:
        raise BadRequest(f"An idempotency key has 1 to {LONGEST_KEY} characters.", param="Idempotency-Key")
    if order.webhook is not None:
        assert order.webhook.schedule in SCHEDULES
        check_webhook_url(order.webhook.url)


def _same(job: Job, order: Order) -> Job:
    """The job, which stands for the order. Raises Conflict when it was another body that made it."""
    if job.body_hash != order.body_hash:
        raise Conflict(
            "This idempotency key was used with another body. Take a new key for a new request.",
            param="Idempotency-Key",
        )
    return job
