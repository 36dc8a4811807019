"""A job: one call of a feature that outlives the request which asked for it. Values only; times are Unix seconds."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from pixelserve.errors import PixelserveError
from pixelserve.observe import NO_TRACE, Trace

_EPOCH = 1_767_225_600.0
"""2026-01-01: from here the milliseconds of an id are counted. They fill their 41 bits in 2095."""
_RANDOM_BITS = 22


class JobState(StrEnum):
    """queued and running lead to one of the others, which are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


class Lane(StrEnum):
    """What a job that is due waits for: CALL and TELL, a place among the calls and webhooks in work; LOOK, a look."""

    CALL = "call"
    TELL = "tell"
    LOOK = "look"


@dataclass(frozen=True)
class JobProgress:
    """`value` from 0 to 1. `estimated`: it was reckoned from the time gone by, not told by the endpoint."""

    value: float
    estimated: bool


@dataclass(frozen=True)
class OutputPlaces:
    """Where an asynchronous invocation leaves its output, or its failure: URLs. Empty where not known."""

    output: str
    failure: str


@dataclass(frozen=True)
class StoredResult:
    """A result among `Results`: its name there, media type, bytes, and what else the endpoint said of it.

    `width` and `height` are those of a picture in pixels, else 0.
    """

    name: str
    media_type: str
    size: int
    attributes: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class JobError:
    """A PixelserveError, kept."""

    status: int
    code: str
    message: str
    param: str | None
    retryable: bool

    @classmethod
    def of(cls, error: PixelserveError) -> JobError:
        return cls(error.status, error.code, error.message, error.param, error.retryable)

    def as_error(self) -> PixelserveError:
        error = PixelserveError(self.message, param=self.param)
        error.status, error.code, error.retryable = self.status, self.code, self.retryable
        return error


@dataclass(frozen=True)
class Delivery:
    """One request to a webhook: when it began, the status it was answered with, and what became of it."""

    at: float
    status: int | None
    outcome: str


@dataclass(frozen=True)
class Webhook:
    """Where to tell of a job's end, by which schedule, and how that went. `due`: the next request; None: no more."""

    url: str
    schedule: str
    deliveries: tuple[Delivery, ...] = ()
    due: float | None = None
    delivered: bool = False


@dataclass(frozen=True)
class Job:
    """One job, as stored. A change is a copy; the store takes it while `version` is still the stored one.

    id          decimal digits, below 2**63, growing with time; also the InferenceId
    tenant      whose it is: nobody else sees it
    feature     the feature that is called
    dialect     the API that it came by, and `data` what that API wants back
    call        how the feature is called, but for the body, which lies among the job's files
    trace       of the request, passed on to endpoint and webhook
    key         what the tenant named the request, unique among the tenant's jobs; None: nothing
    body_hash   of the request, to tell a repetition from another request of the same key
    expires     of an unfinished job, when it is given up; of a finished one, when it is removed
    due         when somebody must look at it next
    attempts    how often it was begun; `failures` how often it failed in a way worth another try
    lease       the token of whom is at work on it; "" for nobody
    """

    id: str
    tenant: str
    feature: str
    dialect: str
    call: Mapping[str, str]
    created: float
    updated: float
    expires: float
    due: float
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trace: Trace = NO_TRACE
    key: str | None = None
    body_hash: str = ""
    state: JobState = JobState.QUEUED
    version: int = 1
    attempts: int = 0
    failures: int = 0
    lease: str = ""
    finished: float | None = None
    outputs: OutputPlaces | None = None
    progress: JobProgress = JobProgress(0.0, estimated=True)
    result: StoredResult | None = None
    error: JobError | None = None
    webhook: Webhook | None = None

    @property
    def lane(self) -> Lane:
        if self.webhook is not None and self.webhook.due is not None:
            return Lane.TELL
        return Lane.CALL if not self.state.is_terminal and self.outputs is None else Lane.LOOK


_JOBS = TypeAdapter(Job)


def dump(job: Job) -> str:
    """The job as JSON text."""
    return _JOBS.dump_json(job).decode()


def load(text: str) -> Job:
    """The job that `dump` wrote."""
    return _JOBS.validate_json(text)


def new_id(now: float) -> str:
    """Milliseconds, then random bits: ids sort by time, and fit a signed 64-bit integer."""
    milliseconds = max(int((now - _EPOCH) * 1000), 1)
    return str(milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS))


def is_id(text: str) -> bool:
    """Whether a job may have that id."""
    return text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) < 1 << 63


def time_of(job_id: str) -> float:
    """When the id was made, to the millisecond."""
    return (int(job_id) >> _RANDOM_BITS) / 1000 + _EPOCH


def with_lease(job: Job, lease: str, now: float, seconds: float) -> Job:
    """The job begun by the holder of `lease`."""
    return dataclasses.replace(
        job,
        state=JobState.RUNNING,
        lease=lease,
        attempts=job.attempts + 1,
        updated=now,
        due=now + seconds,
    )


def started(job: Job, places: OutputPlaces, now: float, look_at: float) -> Job:
    """The job handed to an asynchronous endpoint."""
    return dataclasses.replace(
        job, state=JobState.RUNNING, lease="", outputs=places, updated=now, due=min(look_at, job.expires)
    )


def put_back(job: Job, now: float, due: float) -> Job:
    """The job queued again, to be begun at `due`."""
    return dataclasses.replace(job, state=JobState.QUEUED, lease="", updated=now, due=min(due, job.expires))


def ended(
    job: Job,
    state: JobState,
    now: float,
    keep: float,
    *,
    result: StoredResult | None = None,
    error: JobError | None = None,
) -> Job:
    """The job in a final state: its webhook is due now, its removal `keep` seconds later."""
    webhook = job.webhook and dataclasses.replace(job.webhook, due=now)
    return dataclasses.replace(
        job,
        state=state,
        lease="",
        updated=now,
        finished=now,
        expires=now + keep,
        due=now if webhook else now + keep,
        progress=JobProgress(1.0, estimated=False) if state is JobState.SUCCEEDED else job.progress,
        result=result,
        error=error,
        webhook=webhook,
    )


def with_webhook(job: Job, webhook: Webhook | None) -> Job:
    """A finished job whose webhook got on, or that has none: due with the next request, or to be removed."""
    due = job.expires if webhook is None or webhook.due is None else min(webhook.due, job.expires)
    return dataclasses.replace(job, webhook=webhook, due=due)
