"""A fleet under a trace, minute by minute: autoscaling, cool-down, cold starts, a queue with a time-out.

The model is a fluid one with whole requests. Arrivals are even within their minute and are served in order, as many
at a time as the ready instances work on; one that has waited for the time-out fails. Scaling looks at the minute that
has passed: the instances that its arrivals and the queue need at the target utilisation, but no more than the
requests in hand can keep busy, and no fewer than are working. More are ordered when the scale-out cool-down is over,
and work after the cold start; fewer when none more were needed for the scale-in cool-down. An instance is billed from
its order on. After the trace the fleet goes on until the last request is answered or has failed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.modes import Scaling

MINUTE = 60.0
YEAR = 366 * 24 * 60 * MINUTE
SLACK = 1e-9
FINE = 0.1
"""Arrivals closer than this part of the time-out are a flow; others expire one by one."""


@dataclass(frozen=True)
class Fleet:
    """An endpoint and its scaling; times in seconds."""

    seconds: float
    """One request on the machine."""
    concurrency: int = 1
    least: int = 1
    most: int = 10
    utilisation: float = float(Scaling.utilisation)
    """What scaling aims at."""
    cold_start: float = 300.0
    cool_out: float = 60.0
    """Between two scale-outs."""
    cool_in: float = 600.0
    """Without need before a scale-in."""
    late_after: float = 10.0
    """An answer later than this after its request is late."""
    time_out: float = 60.0
    """A request that has waited for so long fails."""

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.concurrency >= 1 and 0 < self.utilisation <= 1):
            raise CostError(
                "Seconds are above 0, the concurrency is at least 1, the utilisation above 0 and at most 1."
            )
        if not 0 <= self.least <= self.most or not self.most:
            raise CostError(
                f"{self.least} to {self.most} instances is no range: --min is at most --max, --max at least 1."
            )
        times = (self.cold_start, self.cool_out, self.cool_in, self.late_after, self.time_out)
        if not all(0 <= time <= YEAR for time in times):
            raise CostError(
                "Cold start, cool-downs, the late limit and the time-out are seconds from 0 on, up to a year."
            )

    @property
    def rate(self) -> float:
        """Requests that one instance serves in a second."""
        return self.concurrency / self.seconds

    def needed(self, requests: int) -> int:
        """How many instances so many requests in a minute need at the target utilisation."""
        return math.ceil(requests / (MINUTE * self.rate * self.utilisation) - SLACK)

    def reaching(self, peak: int) -> Fleet:
        """The same, with as many instances at most as so many requests in a minute need."""
        return replace(self, most=max(self.needed(peak), self.least, 1))


@dataclass
class SimulationResult:
    """What became of the requests; `served` are those in time. The lists have one value a minute."""

    served: int = 0
    late: int = 0
    failed: int = 0
    billed: list[int] = field(default_factory=list)
    """Instances that are paid for."""
    ready: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    """Requests in the queue at the minute's end."""
    utilisation: float = 0.0
    """Work done, as a part of what the ready instances could have."""

    @property
    def instance_hours(self) -> float:
        """Billed, of all instances together."""
        return sum(self.billed) / 60

    @property
    def offered(self) -> int:
        """All requests."""
        return self.served + self.late + self.failed


def advise(trace: Sequence[int], fleet: Fleet, outcome: SimulationResult) -> list[str]:
    """What to change so that fewer requests fail or are late; empty when all were in time."""
    if not outcome.failed and not outcome.late:
        return []
    found = []
    needed = fleet.needed(max(trace))
    if fleet.seconds > fleet.late_after:
        return [f"Every answer is late: a request takes {fleet.seconds:g} s. Raise --late-after, or lower --seconds."]
    if needed > fleet.most:
        found.append(f"The busiest minute needs {needed} instances: raise --max from {fleet.most}.")
    if fleet.least < min(needed, fleet.most):
        found.append(
            f"Instances come {fleet.cold_start:g} s after the load: raise --min from {fleet.least} "
            f"(to {min(needed, fleet.most)} at most), or lower --cold-start or --utilisation."
        )
    if outcome.failed:
        found.append(
            f"Requests fail after waiting for {fleet.time_out:g} s: if callers wait longer, raise --time-out, "
            "or queue them with --mode async."
        )
    return found


def simulate(trace: Sequence[int], fleet: Fleet) -> SimulationResult:
    """Runs the trace through the fleet. Every request is served, late or failed in the end."""
    outcome, scaler, queue = SimulationResult(), _Scaler(fleet), _Queue(fleet)
    minute = 0
    while minute < len(trace) or queue.waiting or queue.running:
        arrived = trace[minute] if minute < len(trace) else 0
        ready = scaler.ready_in(minute)
        held = queue.waiting + queue.running + arrived
        queue.arrive(minute, arrived)
        queue.serve(minute, ready)
        outcome.ready.append(ready)
        outcome.billed.append(scaler.ordered)
        outcome.waiting.append(queue.waiting)
        scaler.look(minute, arrived + queue.waiting, held, queue.running)
        minute += 1
    outcome.served, outcome.late, outcome.failed = queue.served, queue.late, queue.failed
    possible = sum(outcome.ready) * MINUTE * fleet.rate
    outcome.utilisation = (queue.served + queue.late) / possible if possible else 0.0
    return outcome


class _Scaler:
    """How many instances are ordered and ready."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ready = self.ordered = fleet.least
        self._starting: deque[tuple[int, int]] = deque()  # (minute from which they are ready, how many)
        self._may_grow = 0.0
        self._calm_since: int | None = None
        self._needed_in_calm = 0

    def ready_in(self, minute: int) -> int:
        """Those that work in this minute."""
        while self._starting and self._starting[0][0] <= minute:
            self._ready += self._starting.popleft()[1]
        return self._ready

    def look(self, minute: int, load: int, held: int, running: int) -> None:
        """Orders or ends instances after a minute with this load.

        `held` is what was waiting, running and arriving in the minute, `running` what goes on after it.
        """
        fleet = self._fleet
        need = max(min(fleet.needed(load), math.ceil(held / fleet.concurrency)), math.ceil(running / fleet.concurrency))
        need = min(max(need, fleet.least), fleet.most)
        if need >= self.ordered:
            self._calm_since = None
            if need > self.ordered and minute * MINUTE >= self._may_grow:
                start = minute + 1 + math.ceil(fleet.cold_start / MINUTE)
                self._starting.append((start, need - self.ordered))
                self.ordered = need
                self._may_grow = minute * MINUTE + fleet.cool_out
            return
        if self._calm_since is None:
            self._calm_since, self._needed_in_calm = minute, need
        self._needed_in_calm = max(self._needed_in_calm, need)
        if (minute - self._calm_since) * MINUTE >= fleet.cool_in:
            ended = max(self._ready - self._needed_in_calm, 0)
            self._ready -= ended
            self.ordered -= ended
            self._calm_since = None


class _Queue:
    """Requests that wait, in groups of a minute's arrivals, and the time from which the fleet is free."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._groups: deque[list[int]] = deque()  # [minute, how many arrived, how many of them are gone]
        self._free = 0.0
        self._started: deque[tuple[float, float, int]] = deque()  # (first start, last start, how many)
        self.running = 0
        """Requests that are worked on at the minute's end."""
        self.waiting = self.served = self.late = self.failed = 0

    def arrive(self, minute: int, requests: int) -> None:
        """Lets a minute's requests in."""
        if requests:
            self._groups.append([minute, requests, 0])
            self.waiting += requests

    def serve(self, minute: int, ready: int) -> None:
        """Serves until the minute's end, and fails those that wait too long."""
        end = (minute + 1) * MINUTE
        rate = ready * self._fleet.rate
        self._free = max(self._free, minute * MINUTE) if ready else end
        while self._groups:
            group = self._groups[0]
            self._expire(group)
            if group[2] == group[1]:
                self._groups.popleft()
            elif self._free < end:
                self._work_on(group, rate, end)
            else:
                break
        self._count_running(end)

    def _count_running(self, now: float) -> None:
        since = now - self._fleet.seconds
        while self._started and self._started[0][1] <= since + SLACK:
            self._started.popleft()
        self.running = sum(_count_later(*starts, since) for starts in self._started)

    def _expire(self, group: list[int]) -> None:
        """Fails those at the group's head that have waited longer than the time-out when the fleet is free."""
        minute, arrived, gone = group
        too_old = (self._free - self._fleet.time_out - minute * MINUTE) / MINUTE * arrived
        self._leave(group, min(max(math.ceil(too_old - SLACK) - gone, 0), arrived - gone), failed=True)

    def _work_on(self, group: list[int], rate: float, end: float) -> None:
        """Serves what it can of a group whose head has not expired."""
        minute, arrived, gone = group
        left, gap, step = arrived - gone, MINUTE / arrived, 1 / rate
        head = minute * MINUTE + gone * gap
        wait = max(self._free - head, 0.0)
        slope = step - gap
        count = min(left, max(math.ceil((end - max(self._free, head)) * rate - SLACK), 1))
        within = left
        if slope > 0:
            within = math.floor((self._fleet.time_out - wait) / slope + SLACK) + 1
            count = min(count, within)
        elif wait + slope * (left - 1) <= 0:  # it catches up with the arrivals and serves the rest as they come
            count = left
        self._done(group, count, wait, slope)
        last = max(wait + slope * (count - 1), 0.0)
        last_start = head + (count - 1) * gap + last
        self._started.append((head + wait, last_start, count))
        self._free = last_start + step
        if count == within < left and gap < FINE * self._fleet.time_out:
            self._serve_at_the_limit(group, step, gap, end)

    def _serve_at_the_limit(self, group: list[int], step: float, gap: float, end: float) -> None:
        """Overload: for each one that is served, those fail whose time runs out meanwhile."""
        left = group[1] - group[2]
        startable = max(math.ceil((end - self._free) / step - SLACK), 0)
        count = min(startable, math.floor(left * gap / step + SLACK))
        self._leave(group, min(round(count * (step / gap - 1)), left - count), failed=True)
        if count > 0:
            self._started.append((self._free, self._free + (count - 1) * step, count))
        self._done(group, count, self._fleet.time_out, 0.0)
        self._free += count * step

    def _done(self, group: list[int], count: int, wait: float, slope: float) -> None:
        """Counts requests of which the first waited for `wait` seconds, and each next one `slope` longer."""
        allowed = self._fleet.late_after - self._fleet.seconds
        if slope > 0:
            late = count - 1 - math.floor((allowed - wait) / slope + SLACK)
        elif slope < 0:
            late = math.ceil((wait - allowed) / -slope - SLACK)
        else:
            late = count if wait > allowed else 0
        late = min(max(late, 0), count) if allowed >= 0 else count
        self.late += late
        self.served += count - late
        self._leave(group, count, failed=False)

    def _leave(self, group: list[int], count: int, *, failed: bool) -> None:
        group[2] += count
        self.waiting -= count
        if failed:
            self.failed += count


def _count_later(first: float, last: float, count: int, since: float) -> int:
    """How many of evenly spaced starts are after `since`."""
    if first > since or count == 1:
        return count
    return min(max(math.ceil((last - since) / (last - first) * (count - 1)), 1), count)
