"""What a store of jobs can do. `sqlite` and `dynamodb` do it; one test suite holds both.

All calls block. Nothing is locked over two calls: every change names the version it was made of, and is refused when
another was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pixelserve_gateway.jobs.job import Job, JobState, Lane


@dataclass(frozen=True)
class Record:
    """A small JSON object by its kind and name: an API key, a bucket of tokens, a secret."""

    body: Mapping[str, Any]
    version: int


class JobStore(Protocol):
    """Jobs and records. What was written is there for the next `get`, `find` and `read`, by whomever.

    Raises Unavailable when the database does not do its work.
    """

    def add(self, job: Job) -> Job | None:
        """Stores a new job and answers it. Of a tenant's key that is taken already, answers the job that has it.

        None: the id is taken.
        """

    def get(self, job_id: str) -> Job | None:
        """The job as it is now."""

    def find(self, tenant: str, key: str) -> Job | None:
        """The tenant's job of that key."""

    def replace(self, job: Job) -> Job | None:
        """Stores the job in place of the same version and answers it with the next; None when that is not stored."""

    def remove(self, job: Job) -> bool:
        """Removes the job of this version and its key. False when another version is stored, or none."""

    def jobs(self, tenant: str, states: Collection[JobState], before: str | None, limit: int) -> list[Job]:
        """The tenant's jobs in any of `states`, or in all if there are none, newest first, older than the id `before`.

        On DynamoDB a job may be missing, or be shown as it was, for a moment.
        """

    def due(self, lane: Lane, now: float, limit: int) -> list[Job]:
        """Jobs of a lane that somebody must look at by `now`, longest due first; on DynamoDB perhaps a moment late."""

    def due_by_tenant(self, lane: Lane, now: float, each: int) -> dict[str, list[str]]:
        """The ids of such jobs of CALL or TELL by their tenants, up to `each` of every one, longest due first."""

    def count_unfinished(self, tenant: str, most: int) -> int:
        """How many of the tenant's jobs have not ended, up to `most`; on DynamoDB as they were a moment ago."""

    def read(self, kind: str, name: str) -> Record | None:
        """The record as it is now."""

    def write(self, kind: str, name: str, body: Mapping[str, Any], version: int) -> bool:
        """Stores a record in place of that version, 0 for none. False when another is stored."""

    def records(self, kind: str) -> dict[str, Record]:
        """All records of a kind by their names."""

    def close(self) -> None:
        """Lets go of the database."""


def change(store: JobStore, job_id: str, step: Callable[[Job], Job | None]) -> Job | None:
    """Stores what `step` makes of the job, and answers it. `step` is asked again when another was faster.

    None: there is no such job, or `step` answered None, since it wants no change.
    """
    while (job := store.get(job_id)) is not None:
        changed = step(job)
        if changed is None:
            return None
        stored = store.replace(changed)
        if stored is not None:
            return stored
    return None
