"""Front and local runtime hold little of what they pass on: neither bodies nor answers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from fire_hosts import HOSTS, Host
from handlers import BUSY
from raw_http import connected, post, read_all, read_answers
from servers import Server, in_threads, wait_for

MB = 1_000_000
MOST_MEMORY = 70 * MB
"""Bytes by which a process may grow that passes on more than twice as many: of each connection up to half a MB."""


@pytest.fixture(scope="module", params=["front", "runtime"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with HOSTS[request.param](tmp_path_factory.mktemp(request.param), {}) as host:
        yield host


def asked(host: Host, body: bytes) -> bytes:
    head = host.head(f"content-length: {len(body)}", "accept: application/octet-stream")
    return head + b"\r\n" + body


def worker_of(host: Host) -> int:
    (worker,) = [process.pid for process in host.processes() if "native.worker" in " ".join(process.cmdline())]
    return worker


def is_served(host: Host) -> bool:
    url = f"http://127.0.0.1:{host.port}{host.post}"
    return httpx.post(url, json={}, trust_env=False, timeout=60).status_code == 200


def test_an_answer_without_end_is_passed_on_as_it_comes(proxy: Host) -> None:
    grown = proxy.watch_memory()
    with connected(proxy, asked(proxy, b'{"megabytes": 1000000000}')) as connection:
        received = len(connection.recv(15))
        while received < 150 * MB:
            received += len(connection.recv(1 << 20))
        assert grown()[proxy.pid] < MOST_MEMORY
    wait_for(lambda: is_served(proxy), what="the handler is free again")


@pytest.mark.parametrize("body", [b'{"bytes": 30000000}', b'{"megabytes": 1000}'])
def test_one_that_breaks_off_is_no_whole_one(proxy: Host, body: bytes) -> None:
    with connected(proxy, asked(proxy, body)) as connection:
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        os.kill(worker_of(proxy), signal.SIGKILL)
        rest = read_all(connection)
    assert rest.count(b"x") < 30 * MB
    assert not rest.endswith(b"0\r\n\r\n")
    wait_for(lambda: is_served(proxy))


def test_bodies_for_a_model_that_stands_still_are_bounded(serve: Callable[..., Server], tmp_path: Path) -> None:
    """By the room of a queue, 8 MB here; another model has room of its own."""
    for name in ("still", "other"):
        (tmp_path / "models" / name / "code").mkdir(parents=True)
        source = "\n".join(line[4:] for line in BUSY.splitlines())
        (tmp_path / "models" / name / "code" / "inference.py").write_text(source)
    front = serve(
        SAGEMAKER_MULTI_MODEL="true",
        PIXELSERVE_MODELS_DIR=str(tmp_path / "models"),
        PIXELSERVE_MAX_BODY_BYTES=str(4 * MB),
        PIXELSERVE_QUEUE_LENGTH="2",
    ).ready()
    for name in ("still", "other"):
        order = {"model_name": name, "url": str(tmp_path / "models" / name)}
        assert front.client.post("/models", json=order).status_code == 200
    host = Host("front", front.port, front.process.pid, "/ping", "/models/still/invoke")
    (still,) = [
        pid for pid in front.processes("native.worker") if "still" in psutil.Process(pid).environ()["SM_MODEL_DIR"]
    ]
    body = b"{" + b" " * 3_900_000 + b"}"
    request = post(body, extra="connection: close\r\n").replace(b"/invocations", b"/models/still/invoke")
    answers = []

    def call() -> None:
        with connected(host, request) as connection:
            connection.settimeout(120)
            answers.append(read_answers(connection, 1)[0])

    os.kill(still, signal.SIGSTOP)
    grown = host.watch_memory()
    callers = in_threads(40, call)
    wait_for(lambda: len(answers) >= 36)
    assert front.client.post("/models/other/invoke", content=body).status_code == 200
    assert grown()[host.pid] < MOST_MEMORY
    os.kill(still, signal.SIGCONT)
    for caller in callers:
        caller.join()
    refused = [answer["error"] for status, answer in answers if status == 429]
    assert len(refused) >= 36
    assert all(error["retry_after"] == 1 for error in refused)
    assert {status for status, _ in answers} == {200, 429}
