"""The seconds and numbers that jobs go by."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from pixelserve_gateway.jobs.job import Job, JobProgress, JobState

_NEARLY = 0.95


@dataclass(frozen=True)
class Rules:
    """Times in seconds.

    unfinished   an unfinished job is given up after this
    kept         a finished job is removed, with its result, after this
    lease        whoever runs a job renews its lease; so long after the last time another takes it
    poll         between two looks at an asynchronous invocation
    typical      what a call takes, for progress that nobody tells
    calls        calls in work at once in this process
    looks        jobs looked after at once in this process
    failures     a job that failed so often, each time in a way that may pass, has failed
    """

    unfinished: float = 21_600.0
    kept: float = 86_400.0
    lease: float = 15.0
    poll: float = 2.0
    typical: float = 10.0
    calls: int = 4
    looks: int = 32
    failures: int = 5

    def pause_after(self, failures: int) -> float:
        """Before a job that failed so often is begun again: 1, 2, 4 ... seconds."""
        return 2.0 ** (failures - 1)

    def progress_of(self, job: Job, now: float) -> JobProgress:
        """What the endpoint told, or an estimate that nears 0.95 with time."""
        if job.state is not JobState.RUNNING or not job.progress.estimated:
            return job.progress
        gone = max(now - job.updated, 0.0) if job.outputs is None else max(now - job.created, 0.0)
        return dataclasses.replace(job.progress, value=_NEARLY * (1 - math.exp(-gone / self.typical)))
