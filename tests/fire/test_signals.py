"""Every signal that a process may get: it ends well, goes on, or, killed, costs what it must."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from handlers import BUSY
from servers import Server, wait_for

ENDING = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]
IGNORED = ["SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCHLD", "SIGURG", "SIGWINCH", "SIGCONT"]
ENDS_AT_ONCE = {name.name for name in signal.Signals} - {*ENDING, *IGNORED}
"""Faults, limits, timers and job control, whose meaning is the system's. They are in nobody's hand who only calls."""


def test_every_signal_is_named() -> None:
    assert {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGABRT"} <= ENDS_AT_ONCE


@pytest.mark.parametrize("name", ENDING)
@pytest.mark.parametrize("times", [1, 2])
def test_one_that_ends_lets_what_is_in_work_be_answered(
    serve: Callable[..., Server], tmp_path: Path, name: str, times: int
) -> None:
    """Twice too: impatience loses nothing."""
    server = serve(BUSY).ready()
    in_work = tmp_path / "in work"
    in_work.touch()
    answers: list[httpx.Response] = []
    caller = threading.Thread(target=lambda: answers.append(server.invoke(json.dumps({"while": str(in_work)}))))
    caller.start()
    wait_for(lambda: "pixelserve_requests_held 1.0" in httpx.get(f"{server.url}/metrics", trust_env=False).text)
    for _ in range(times):
        server.process.send_signal(signal.Signals[name])
    in_work.unlink()
    assert server.exit_code() == 0
    caller.join()
    assert answers[0].status_code == 200


def test_others_change_nothing(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    (worker,) = server.workers()
    for name in IGNORED:
        for pid in (server.process.pid, worker):
            os.kill(pid, signal.Signals[name])
    assert server.invoke("{}").json() == {"pid": worker}


def test_a_worker_that_is_stopped_holds_nobody_for_ever(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    assert server.invoke("{}").status_code in (503, 504)
    ping = server.ping()
    assert ping is not None
    assert ping.status_code in (200, 503)
    os.kill(worker, signal.SIGCONT)
    assert server.ready().invoke("{}").status_code == 200


def test_a_server_that_loads_ends_at_once(serve: Callable[..., Server]) -> None:
    server = serve("import time\ntime.sleep(600)")
    wait_for(server.ping)
    server.process.send_signal(signal.SIGTERM)
    assert server.exit_code(15) == 0
