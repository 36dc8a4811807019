"""The seconds and numbers that jobs go by."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from pixelserve_gateway.jobs.job import Job, JobProgress, JobState

_NEARLY = 0.95
_MOST_TOLD = 0.99
_FIRST_POLL = 0.5


@dataclass(frozen=True)
class Rules:
    """Times in seconds.

    unfinished   an unfinished job is given up after this
    kept         a finished job is removed, with its result, after this
    lease        whoever runs a job renews its lease; so long after the last time another takes it
    poll         between two looks at an asynchronous invocation; the first ones come sooner
    typical      what a call takes, for progress that nobody tells
    calls        calls in work at once in this process
    looks        jobs looked after at once in this process
    tells        webhooks in work at once in this process, and `tells_each` of one tenant
    open_jobs    unfinished jobs that a tenant may have
    failures     a job that failed so often, each time in a way that may pass, has failed
    """

    unfinished: float = 21_600.0
    kept: float = 86_400.0
    lease: float = 15.0
    poll: float = 2.0
    typical: float = 10.0
    calls: int = 4
    looks: int = 32
    tells: int = 128
    tells_each: int = 8
    open_jobs: int = 1_000
    failures: int = 5

    def pause_after(self, failures: int) -> float:
        """Before a job that failed so often is begun again: 1, 2, 4 ... seconds."""
        return 2.0 ** (failures - 1)

    def pause_after_look(self, waited: float) -> float:
        """Before the next look at an asynchronous invocation of a job that is `waited` seconds old."""
        return min(self.poll, max(_FIRST_POLL, waited / 4))

    def told(self, job: Job, fraction: float | None, now: float) -> JobProgress:
        """Of a job whose endpoint told `fraction`, or nothing. It does not fall, and is 1 only at the end."""
        shown = self.progress_of(job, now).value
        return JobProgress(max(shown, min(fraction or 0.0, _MOST_TOLD)), estimated=fraction is None)

    def progress_of(self, job: Job, now: float) -> JobProgress:
        """What the endpoint told, or an estimate that nears 0.95 with time."""
        if job.state is not JobState.RUNNING or not job.progress.estimated:
            return job.progress
        gone = max(now - job.updated, 0.0) if job.outputs is None else max(now - job.created, 0.0)
        estimate = _NEARLY * (1 - math.exp(-gone / self.typical))
        return dataclasses.replace(job.progress, value=max(job.progress.value, estimate))
