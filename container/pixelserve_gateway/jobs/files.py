"""The objects of a job among the results: its input, and a result for each attempt that got so far."""

from __future__ import annotations

from pixelserve.imaging import read_size
from pixelserve_gateway.jobs.calling import KeptCall, Output
from pixelserve_gateway.jobs.job import Job, StoredResult, is_id, time_of
from pixelserve_gateway.jobs.store import JobStore
from pixelserve_gateway.results import Results

JOBS = "jobs/"
_ORPHAN_SECONDS = 3_600.0
"""An object whose job is not there after this belongs to a request that died before it was accepted."""


class JobFiles:
    """All calls block. Each attempt has a name of its own: one that comes late overwrites nothing."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def write_input(self, job: Job, body: bytes) -> None:
        self._results.write(_input_name(job), body, job.call["content_type"])

    def read_call(self, job: Job) -> KeptCall:
        """The call, with its body."""
        return KeptCall(job.feature, job.call, self._results.read(_input_name(job))[0])

    def input_url(self, job: Job) -> str:
        """Where the input lies: an s3:// or file:// URL."""
        return self._results.url(_input_name(job))

    def remove_input(self, job: Job) -> None:
        self._results.remove(_input_name(job))

    def write_result(self, job: Job, output: Output) -> StoredResult:
        """Stores what the attempt at hand was answered."""
        name = _result_name(job, job.attempts)
        self._results.write(name, output.body, output.media_type)
        width, height = read_size(output.body) or (0, 0)
        return StoredResult(name, output.media_type, len(output.body), output.attributes, width, height)

    def remove_result(self, result: StoredResult) -> None:
        self._results.remove(result.name)

    def remove_all(self, job: Job) -> None:
        """Removes the input, and results of all attempts."""
        self.remove_input(job)
        for attempt in range(1, job.attempts + 1):
            self._results.remove(_result_name(job, attempt))

    def is_orphan(self, store: JobStore, name: str, now: float) -> bool:
        """Whether the object of that name belongs to no job."""
        job_id = name.removeprefix(JOBS).partition("/")[0]
        return is_id(job_id) and now - time_of(job_id) > _ORPHAN_SECONDS and store.get(job_id) is None


def _input_name(job: Job) -> str:
    return f"{JOBS}{job.id}/input"


def _result_name(job: Job, attempt: int) -> str:
    return f"{JOBS}{job.id}/{attempt}"
