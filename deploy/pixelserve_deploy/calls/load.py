"""Many callers of one endpoint for a while: how long they wait, and how much it serves."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pixelserve.processes import Stop
from pixelserve_deploy.calls.senders import InvocationFailed, Send

Request = tuple[bytes, dict[str, str]]
"""Body and headers."""


@dataclass
class Loaded:
    """What came of the calls. `seconds` are those of the answered ones; `failures` the messages of the others."""

    seconds: list[float] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Bytes of each."""
    failures: list[str] = field(default_factory=list)
    elapsed: float = 0.0
    """From the first call to the last answer."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.elapsed

    def describe_seconds(self) -> dict[str, float]:
        """Count, mean and percentiles in the form of docs/benchmarks.md."""
        ordered = sorted(self.seconds)
        at = {f"p{part}": ordered[min(len(ordered) - 1, len(ordered) * part // 100)] for part in (50, 90, 99)}
        values = {"mean": statistics.fmean(ordered), **at, "max": ordered[-1]}
        return {"count": len(ordered), **{name: round(value, 6) for name, value in values.items()}}


def load_endpoint(send: Send, requests: Sequence[Request], clients: int, seconds: float, stop: Stop) -> Loaded:
    """Calls the endpoint from so many threads, each one call after another and at least one, with the requests in turn.

    Calls that run at the end are waited for. Raises InvocationFailed when none was answered, what `send` raises where
    no call would do better, and Stopped.
    """
    load, turns = Loaded(), itertools.cycle(requests)
    began = time.perf_counter()

    def call_on() -> None:
        while not stop.is_set:
            body, headers = next(turns)
            at = time.perf_counter()
            try:
                answer, _ = send(body, headers)
            except InvocationFailed as failure:
                load.failures.append(failure.message)
            else:
                load.seconds.append(time.perf_counter() - at)
                load.answers.append(len(answer))
            if time.perf_counter() - began >= seconds:
                return

    with ThreadPoolExecutor(clients, thread_name_prefix="client") as pool:
        for caller in [pool.submit(call_on) for _ in range(clients)]:
            stop.result_of(caller)
    load.elapsed = time.perf_counter() - began
    if not load.seconds:
        raise InvocationFailed(load.failures[0])
    return load
