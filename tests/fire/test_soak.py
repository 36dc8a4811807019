"""Workers that are killed again and again under load: nobody is left without an answer, and nothing piles up."""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from fire_hosts import Note
from gateway_servers import gateway_running, png
from handlers import BUSY
from servers import Server, in_threads, wait_for

from pixelserve.features import FEATURES, Feature
from pixelserve.local import Source, running

KILLS = 60


def loaded(server: Server, times: int) -> bool:
    """Whether workers have become ready so many times."""
    return server.loaded() >= times


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_workers_killed_for_a_long_time(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    wait_for(lambda: server.loaded() == 2)
    outcomes: Counter[int | str] = Counter()
    over = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            while not over.is_set():
                try:
                    outcome: int | str = client.post("/invocations", json={"seconds": 0.02}).status_code
                except httpx.TransportError as error:
                    outcome = type(error).__name__
                outcomes[outcome] += 1

    supervisor = psutil.Process(server.process.pid)
    files = supervisor.num_fds()
    threads = in_threads(4, call)
    dice = random.Random(0)
    for kill in range(KILLS):
        time.sleep(dice.uniform(0.1, 0.4))
        os.kill(dice.choice(server.workers()), signal.SIGKILL)
        wait_for(partial(loaded, server, kill + 3), what="the successor of a killed worker")
    over.set()
    for thread in threads:
        thread.join()
    assert outcomes.pop(200) > KILLS
    assert outcomes.pop(503) <= 4 * KILLS
    assert sum(outcomes.values()) <= KILLS, outcomes  # answers that had begun
    wait_for(lambda: len(server.workers()) == 2 and supervisor.num_fds() <= files)
    assert server.ready().invoke("{}").status_code == 200
    assert server.terminate() == 0


ROUND_SECONDS = 30.0
ROUNDS = 3
CALLERS = 200


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("way", ["directly", "through the gateway"])
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.endpoint)
def test_nothing_piles_up_under_200_callers(tmp_path: Path, feature: Feature, way: str, note: Note) -> None:
    """Good requests, bad ones, and callers that go away; after each round as much is held as after the first."""
    img = base64.b64encode(png(48, 48)).decode()
    good = {"img_1": img, "img_2": img} if feature.short == "similarity" else {"img": img}
    with contextlib.ExitStack() as stack:
        runtime = stack.enter_context(running([Source.parse(feature.endpoint)]))
        endpoint = runtime.endpoints[feature.endpoint]
        url, pids = f"{endpoint.url}/invocations", [endpoint.server.pid]
        if way == "through the gateway":
            given = {"PIXELSERVE_GATEWAY_RUNTIME": runtime.url, "PIXELSERVE_GATEWAY_STATE": str(tmp_path / "state")}
            gateway = stack.enter_context(gateway_running(tmp_path, given))
            url = f"{gateway.url}/v1/{feature.short}"
            pids.append(gateway.pid)
        held = []
        for number in range(ROUNDS):
            outcomes = _round(url, good)
            time.sleep(3)
            held.append(_held(pids))
            note("soak", feature=feature.short, way=way, round=number + 1, **held[-1], outcomes=dict(outcomes))
            assert set(outcomes) <= {"200", "400", "415", "429", "503", "504", "gone"}, outcomes
            assert outcomes["200"]
        first, last = held[0], held[-1]
        assert last["MB"] < 1.2 * first["MB"] + 20
        assert last["descriptors"] <= first["descriptors"] + 10
        assert last["threads"] <= first["threads"] + 10
        assert last["shm"] <= first["shm"]


def _round(url: str, good: dict[str, str]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    until = time.monotonic() + ROUND_SECONDS

    def call() -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            for number in itertools.count():
                if time.monotonic() > until:
                    return
                try:
                    body, seconds = ({"img": "no"} if number % 3 == 1 else good), 0.05 if number % 3 == 2 else 60.0
                    outcomes[str(client.post(url, json=body, timeout=seconds).status_code)] += 1
                except httpx.TransportError:
                    outcomes["gone"] += 1

    for thread in in_threads(CALLERS, call):
        thread.join()
    return outcomes


def _shared(process: psutil.Process) -> set[str]:
    """Its files in memory: those of the metrics that it shares with others, and those that it has mapped."""
    folder = process.environ().get("PROMETHEUS_MULTIPROC_DIR")
    mapped = {each.path for each in process.memory_maps() if each.path.startswith("/dev/shm/")}
    return mapped | ({str(file) for file in Path(folder).iterdir()} if folder else set())


def _held(pids: list[int]) -> dict[str, int]:
    """What the processes and their children hold."""
    processes = [each for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    return {
        "MB": sum(process.memory_info().rss for process in processes) // 1_000_000,
        "descriptors": sum(process.num_fds() for process in processes),
        "threads": sum(process.num_threads() for process in processes),
        "shm": len({file for process in processes for file in _shared(process)}),
    }
