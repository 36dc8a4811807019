"""What the first process of a server does for the others: GPUs, orphans, connections."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from handlers import BUSY, ECHO
from raw_http import connected, post, read_answers
from servers import Server, unshared, wait_for

GET_PING = b"GET /ping HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
ORPHANING = """
    import os, time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(0.1)
            os._exit(0)
        os.wait()
        return {"pid": os.getpid()}
"""
"""Each request leaves a process behind that has lost its parent, and ends soon."""


def seen_by_workers(server: Server, variable: str, workers: int) -> list[str]:
    """The variable in each worker: as many connections as there are workers go to one each."""
    request = post(json.dumps({"environ": variable}).encode())
    wait_for(lambda: server.loaded() == workers)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(server, request)) for _ in range(workers)]
        return sorted(read_answers(connection, 1)[0][1] for connection in connections)


@pytest.mark.parametrize(("workers", "devices"), [("0", ["0", "1"]), ("3", ["0", "0", "1"])])
def test_each_worker_gets_a_gpu(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, workers: str, devices: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    server = serve(BUSY, SM_NUM_GPUS="2", SAGEMAKER_MODEL_SERVER_WORKERS=workers).ready()
    assert seen_by_workers(server, "CUDA_VISIBLE_DEVICES", len(devices)) == devices


def test_a_choice_of_gpus_is_left_alone(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SM_NUM_GPUS="2", CUDA_VISIBLE_DEVICES="5,7").ready()
    assert seen_by_workers(server, "CUDA_VISIBLE_DEVICES", 2) == ["5,7", "5,7"]


@pytest.fixture
def first_process() -> list[str]:
    """A command within which a server is the first process, as in a container. Skipped where there may be none."""
    return unshared("--fork", "--pid", "--mount-proc", "--kill-child")


def test_the_first_process_collects_orphans_and_still_sees_its_workers_end(
    serve: Callable[..., Server], first_process: list[str]
) -> None:
    server = serve(ORPHANING, within=first_process).ready()
    (supervisor,) = psutil.Process(server.process.pid).children()
    for _ in range(3):
        assert server.invoke("{}").status_code == 200
    wait_for(lambda: len(zombies(supervisor)) == 3)
    wait_for(lambda: not zombies(supervisor))
    (worker,) = supervisor.children()
    worker.kill()
    wait_for(lambda: server.loaded() == 2)
    assert server.ready().invoke("{}").status_code == 200
    supervisor.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


def test_the_first_process_of_several_models_collects_orphans(
    serve: Callable[..., Server], first_process: list[str], tmp_path: Path
) -> None:
    front = serve(within=first_process, SAGEMAKER_MULTI_MODEL="true", PIXELSERVE_MODELS_DIR=str(tmp_path)).ready()
    (first,) = psutil.Process(front.process.pid).children()
    code = tmp_path / "a" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(ORPHANING.replace("\n    ", "\n"))
    assert front.client.post("/models", json={"model_name": "a", "url": str(code.parent)}).status_code == 200
    assert front.client.post("/models/a/invoke", json={}).status_code == 200
    wait_for(lambda: len(zombies(first)) == 1)
    wait_for(lambda: not zombies(first))
    assert front.client.delete("/models/a").status_code == 200
    first.send_signal(signal.SIGTERM)
    assert front.exit_code() == 0


def zombies(process: psutil.Process) -> list[psutil.Process]:
    """Its children that have ended and were not collected."""
    return [child for child in process.children() if child.status() == psutil.STATUS_ZOMBIE]


def test_connections_beyond_the_limit_wait_until_one_closes(serve: Callable[..., Server]) -> None:
    """A third of the files that the process may open: see `acceptor`."""
    server = serve(ECHO, within=("prlimit", "--nofile=120")).ready()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(server, post(b"1"))) for _ in range(40)]
        assert [read_answers(connection, 1)[0][0] for connection in held] == [200] * 40
        with connected(server, post(b'"late"')) as late:
            late.settimeout(0.5)
            with pytest.raises(TimeoutError):
                late.recv(1)
            held[17].close()
            late.settimeout(30)
            assert read_answers(late, 1) == [(200, "late")]
        with connected(server, post(b'"next"')) as following:
            assert read_answers(following, 1) == [(200, "next")]
    assert server.ready().invoke("1").status_code == 200
