"""The objects of a job among the results: its inputs, and a result for each attempt that got so far."""

from __future__ import annotations

from pixelserve.media_types import RAW
from pixelserve_gateway.jobs.calling import Answer, StoredCall
from pixelserve_gateway.jobs.job import Job, StoredResult, time_of
from pixelserve_gateway.jobs.store import JobStore
from pixelserve_gateway.results import Results

_PREFIX = "jobs/"
_ORPHAN_SECONDS = 3_600.0
"""An object whose job is not there after this belongs to a request that died before it was accepted."""


class JobFiles:
    """All calls block. Each attempt has a name of its own: one that comes late overwrites nothing."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def write_inputs(self, job_id: str, images: tuple[bytes, ...]) -> tuple[str, ...]:
        """Stores a call's images and answers their names."""
        names = tuple(f"{_PREFIX}{job_id}/input-{number}" for number in range(len(images)))
        for name, image in zip(names, images, strict=True):
            self._results.write(name, image, RAW)
        return names

    def read_call(self, job: Job) -> StoredCall:
        """The call, with its images."""
        images = tuple(self._results.read(name)[0] for name in job.inputs)
        return StoredCall(job.feature, job.call, images, job.traceparent)

    def write_result(self, job: Job, answer: Answer) -> StoredResult:
        """Stores what the attempt at hand was answered."""
        name = _result_name(job.id, job.attempts)
        self._results.write(name, answer.body, answer.media_type)
        return StoredResult(name, answer.media_type, len(answer.body), answer.attributes)

    def remove(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._results.remove(name)

    def remove_all(self, job: Job) -> None:
        """Removes inputs, and results of all attempts."""
        self.remove((*job.inputs, *(_result_name(job.id, number) for number in range(1, job.attempts + 1))))

    def remove_orphans(self, store: JobStore, now: float) -> None:
        """Removes what belongs to no job."""
        for name in self._results.names(_PREFIX):
            job_id = name.removeprefix(_PREFIX).partition("/")[0]
            if job_id.isdigit() and now - time_of(job_id) > _ORPHAN_SECONDS and store.get(job_id) is None:
                self._results.remove(name)


def _result_name(job_id: str, attempt: int) -> str:
    return f"{_PREFIX}{job_id}/{attempt}"
