"""Many clients at once, with everything that the gateway speaks: every answer is right, and nothing piles up."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from gateway_load import KINDS, Caller, Picture, Tally, draw
from gateway_servers import Gateway, gateway_running
from servers import wait_for

from pixelserve.features import FEATURES
from pixelserve.local import LocalRuntime

COPIES = 4
"""Most copies of a body that are held at once: as it came, as text, decoded, on its way to the endpoint."""
SLACK = 64_000_000
"""Bytes for connections, answers and jobs, and for what the allocator keeps."""
THREADS = 1 + 20 + min(32, (os.cpu_count() or 1) + 4)
"""At most: the main one, those of jobs, and those of asyncio.to_thread."""
FILES = 2
"""Descriptors of a thread's connection to the store."""


@dataclass(frozen=True)
class Loaded:
    """A gateway of the test's own, its process, and the pictures to send."""

    gateway: Gateway
    process: psutil.Process
    pictures: list[Picture]
    heavy: list[Picture]


@pytest.fixture
def loaded(features_runtime: LocalRuntime, invocations: Path, tmp_path: Path) -> Iterator[Loaded]:
    pictures = [_picture(features_runtime.url, draw(number)) for number in range(48)]
    heavy = [_picture(features_runtime.url, draw(number, edge=512 + 32 * number)) for number in range(6)]
    for one, other in itertools.combinations(pictures + heavy, 2):
        assert not np.allclose(one.vector, other.vector, atol=1e-3), "two pictures could be taken for each other"
    environment = {
        "PIXELSERVE_GATEWAY_STATE": str(tmp_path),
        "PIXELSERVE_GATEWAY_RESULTS": str(invocations / "load"),
        "PIXELSERVE_GATEWAY_ASYNC_OUTPUTS": str(invocations),
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS": ",".join(f"{f.name}={f.endpoint}-async" for f in FEATURES),
    }
    with gateway_running(tmp_path, environment) as gateway:
        yield Loaded(gateway, _process(gateway), pictures, heavy)


def _picture(runtime: str, file: bytes) -> Picture:
    url = f"{runtime}/endpoints/image-similarity/invocations"
    answer = httpx.post(url, content=file, headers={"Content-Type": "image/png"}, timeout=60, trust_env=False)
    return Picture(file, answer.raise_for_status().json()["result"])


def _process(gateway: Gateway) -> psutil.Process:
    port = httpx.URL(gateway.url).port
    children = psutil.Process().children()
    return next(
        child
        for child in children
        if any(socket.status == psutil.CONN_LISTEN and socket.laddr.port == port for socket in child.net_connections())
    )


async def _load(loaded: Loaded, clients: int, seconds: float, rss: list[int]) -> Tally:
    tally = Tally()
    callers = [Caller(loaded.gateway.url, loaded.pictures, loaded.heavy, tally, seed) for seed in range(clients)]
    until = time.monotonic() + seconds
    running = asyncio.gather(*(caller.run(until) for caller in callers))
    while not running.done():
        rss.append(loaded.process.memory_info().rss)
        await asyncio.wait([running], timeout=0.1)
    await running
    return tally


def _hold(loaded: Loaded, clients: int, seconds: float) -> None:
    process = loaded.process
    asyncio.run(_load(loaded, clients, 2.0, []))  # threads that come with the load stay, as do their connections
    files, threads, rss = _idle_descriptors(loaded), process.num_threads(), [process.memory_info().rss]

    tally = asyncio.run(_load(loaded, clients, seconds, rss))

    ordered = sorted(tally.seconds)
    print(  # noqa: T201
        f"{clients} clients, {seconds:g} s: {tally.right.total()} right, {tally.busy.total()} told to come back, "
        f"p50 {ordered[len(ordered) // 2]:.2f} s, p99 {ordered[len(ordered) * 99 // 100]:.2f} s; "
        f"{tally.most_sent / 1e6:.0f} MB of bodies at once; RSS {rss[0] / 1e6:.0f} MB, at most {max(rss) / 1e6:.0f}, "
        f"at last {process.memory_info().rss / 1e6:.0f}; {files} descriptors, {threads} threads"
    )
    assert not tally.wrong, f"{len(tally.wrong)} wrong: {tally.wrong[:5]}"
    assert set(tally.right) == set(KINDS)
    assert max(rss) <= rss[0] + COPIES * tally.most_sent + SLACK
    assert process.num_threads() <= THREADS
    assert _idle_descriptors(loaded) <= files + FILES * (process.num_threads() - threads)
    assert "Traceback" not in loaded.gateway.log_text()


def _idle_descriptors(loaded: Loaded) -> int:
    """How many descriptors the gateway has when nobody calls, but for one connection to the runtime.

    It closes connections to the runtime that have been idle for five seconds when it calls again.
    """
    time.sleep(6)
    picture = loaded.pictures[0]
    httpx.post(f"{loaded.gateway.url}/seg", json={"img": picture.base64}, trust_env=False).raise_for_status()
    listening = 1
    wait_for(lambda: len(loaded.process.net_connections()) <= listening + 1, what="the end of all connections")
    return loaded.process.num_fds()


def test_forty_clients(loaded: Loaded) -> None:
    _hold(loaded, 40, 8.0)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_clients_for_two_minutes(loaded: Loaded) -> None:
    _hold(loaded, 200, 120.0)
