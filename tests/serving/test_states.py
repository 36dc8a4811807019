"""States are codes: with every message of every process rewritten, each state is still told, and acted on, rightly."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from raw_http import connected, read_answers
from servers import Server, wait_for

from pixelserve.errors import PixelserveError, State
from pixelserve.local import Source, started, wait_until_ready
from pixelserve.processes import ServerFailed

REWRITE = """
from pixelserve import errors

plain = errors.PixelserveError.__init__

def rewritten(self, message, **keywords):
    plain(self, "rewritten", **keywords)

errors.PixelserveError.__init__ = rewritten
"""
HANDLER = """
    import os, signal, time

    def model_fn(model_dir):
        match os.environ["LOAD"]:
            case "slow":
                time.sleep(3)
            case "fail":
                raise OSError("no weights")
            case "memory":
                raise MemoryError
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)

    def predict_fn(data, model):
        return data
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of processes whose messages are all rewritten; those of this one are too."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(REWRITE)
    plain = PixelserveError.__init__

    def rewritten(self: PixelserveError, message: str, **keywords: object) -> None:
        plain(self, "rewritten", **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(PixelserveError, "__init__", rewritten)
    return {"PYTHONPATH": str(folder)}


def failing_ping(server: Server, state: State) -> dict[str, object]:
    def is_told() -> dict[str, object] | None:
        answer = server.ping()
        if answer is None:
            return None
        assert answer.status_code == 503
        error: dict[str, object] = answer.json()["error"]
        assert error["message"] == "rewritten"
        return error if error["state"] == state.value else None

    found: dict[str, object] = wait_for(is_told, what=state.value)
    return found


@pytest.mark.parametrize(
    ("load", "state"),
    [
        ("slow", State.LOADING),
        ("fail", State.LOAD_FAILED),
        ("memory", State.OUT_OF_MEMORY),
        ("killed", State.OUT_OF_MEMORY),
    ],
)
def test_ping_tells_the_state(load: str, state: State, environ: dict[str, str], serve: Callable[..., Server]) -> None:
    server = serve(HANDLER, LOAD=load, **environ)
    failing_ping(server, state)
    if not state.is_final:
        server.ready()


def test_a_lost_worker_is_told_and_replaced(environ: dict[str, str], serve: Callable[..., Server]) -> None:
    server = serve(HANDLER, LOAD="", **environ).ready()
    os.kill(server.workers()[0], signal.SIGKILL)
    failing_ping(server, State.WORKER_LOST)
    assert server.ready().invoke("1").json() == 1


@pytest.mark.parametrize(("load", "state"), [("fail", State.LOAD_FAILED), ("killed", State.OUT_OF_MEMORY)])
def test_an_endpoint_that_waits_in_vain_fails_at_once(
    load: str, state: State, environ: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "handler"
    folder.mkdir()
    (folder / "inference.py").write_text("\n".join(line[4:] for line in HANDLER.splitlines()))
    with started([Source("it", folder)], extra={"LOAD": load, **environ}) as endpoints:
        begun = time.monotonic()
        with pytest.raises(ServerFailed) as failure:
            wait_until_ready(endpoints)
    assert failure.value.state is state
    assert time.monotonic() - begun < 60  # it would wait eight minutes


@pytest.mark.parametrize(("load", "status"), [("fail", 500), ("memory", 507), ("killed", 507), ("slow", 200)])
def test_a_model_of_several_tells_memory_from_other_failures(
    load: str, status: int, environ: dict[str, str], serve: Callable[..., Server], tmp_path: Path
) -> None:
    model = tmp_path / "models" / "it"
    (model / "code").mkdir(parents=True)
    (model / "code" / "inference.py").write_text("\n".join(line[4:] for line in HANDLER.splitlines()))
    several = {"SAGEMAKER_MULTI_MODEL": "true", "PIXELSERVE_MODELS_DIR": str(tmp_path / "models")}
    server = serve(LOAD=load, **several, **environ).ready()
    answers: list[httpx.Response] = []
    order = {"model_name": "it", "url": str(model)}
    loading = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{server.url}/models", json=order, timeout=60))
    )
    loading.start()
    if load == "slow":
        told = wait_for(lambda: (got := server.client.post("/models/it/invoke", json=1)).status_code == 503 and got)
        assert told.json()["error"]["state"] == "loading"
    loading.join()
    assert answers[0].status_code == status


ONE_FAILS = """
    import os, time

    def model_fn(model_dir):
        try:
            os.close(os.open(os.environ["FIRST"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            time.sleep(2)
        else:
            raise OSError("only the first")

    def predict_fn(data, model):
        return data
"""


def test_one_worker_that_fails_is_not_the_servers_end(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(ONE_FAILS, FIRST=str(tmp_path / "first"), SAGEMAKER_MODEL_SERVER_WORKERS="2")
    seen: set[str] = set()

    def is_ready() -> bool:
        answer = server.ping()
        if answer is not None and answer.status_code == 503:
            seen.add(answer.json()["error"]["state"])
        return answer is not None and answer.status_code == 200

    wait_for(is_ready, what="ready")
    assert "load_failed" not in seen


def test_the_end_is_told(serve: Callable[..., Server]) -> None:
    server = serve(HANDLER, LOAD="slow")
    failing = wait_for(lambda: (answer := server.ping()) is not None and answer.json()["error"])
    assert failing["state"] == "loading"
    with connected(server, b"GET /ping HTTP/1.1\r\nhost: 127.0.0.1\r\n") as connection:
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(b"\r\n")
        (answer,) = read_answers(connection, 1)
    assert answer[0] == 503
    assert answer[1]["error"]["state"] == "draining"
