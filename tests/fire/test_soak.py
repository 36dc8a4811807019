"""Workers that are killed again and again under load: nobody is left without an answer, and nothing piles up."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import httpx
import psutil
import pytest
from handlers import BUSY
from servers import Server, in_threads, wait_for

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
