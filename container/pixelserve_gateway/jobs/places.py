"""The places among the work outside requests: how many jobs of a lane are in hand at once, and whose is next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import zip_longest
from typing import Any


class Places:
    """The tasks that do `work` at jobs: `room` at once, and `each` of any one tenant."""

    def __init__(self, work: Callable[[str], Coroutine[Any, Any, None]], room: int, each: int) -> None:
        self.room = room
        self.each = each
        self._work = work
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tenants: Counter[str] = Counter()
        self._last = ""

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._tasks.values())

    @property
    def is_full(self) -> bool:
        return len(self._tasks) >= self.room

    def begin(self, tenant: str, job_id: str) -> asyncio.Task[None]:
        """The task that is at the tenant's job, a new one unless there is one, be there a place or not."""
        if job_id not in self._tasks:
            self._tenants[tenant] += 1
            self._tasks[job_id] = asyncio.create_task(self._work(job_id))
            self._tasks[job_id].add_done_callback(lambda _: self._end(tenant, job_id))
        return self._tasks[job_id]

    def begin_if_free(self, tenant: str, job_id: str) -> None:
        """Begins the job where there is a place for it."""
        if self._has_place(tenant):
            self.begin(tenant, job_id)

    def begin_in_turn(self, due: Mapping[str, Sequence[str]]) -> None:
        """Begins jobs, one of each tenant, then a second; the tenant after the one that came last is the first."""
        tenants = sorted(due, key=lambda tenant: (tenant <= self._last, tenant))
        for turn in zip_longest(*(due[tenant] for tenant in tenants)):
            for tenant, job_id in zip(tenants, turn, strict=True):
                if job_id is not None and job_id not in self._tasks and self._has_place(tenant):
                    self.begin(tenant, job_id)
                    self._last = tenant

    def _has_place(self, tenant: str) -> bool:
        return not self.is_full and self._tenants[tenant] < self.each

    def _end(self, tenant: str, job_id: str) -> None:
        del self._tasks[job_id]
        self._tenants -= Counter([tenant])  # leaves nobody who has none
