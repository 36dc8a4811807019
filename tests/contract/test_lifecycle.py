"""The contract of a container's life: how it starts, what /ping says, how it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
from cases import Deviation, Target, contract, line
from containers import Container
from handlers import BUSY, ECHO, SLOW_TO_LOAD
from servers import free_port, in_threads, wait_for

Start = Callable[..., Target]
IN_IMAGES = ("image", "mms")
ALWAYS_HEALTHY = Deviation("its /ping is 200 whatever state the model is in", lambda answer: answer.status_code == 200)


def failing_ping(server: Target, reason: str) -> httpx.Response:
    """A `/ping` that is 503 for this reason; fails when /ping becomes healthy instead."""

    def answered() -> httpx.Response | None:
        answer = server.ping()
        if answer is None:
            return None
        with line(answer):
            assert answer.status_code == 503
        return answer if reason in answer.text else None

    found: httpx.Response = wait_for(answered, what=reason)
    return found


def workers(target: str, server: Target) -> list[int]:
    """The processes that hold a model; multi-model-server's has a parent that listens for more of them."""
    return server.processes("model_service_worker" if target == "mms" else "pixelserve.serving.native.worker")


@contract("Exec-form ENTRYPOINT that takes `serve`; labels for bind-to-port and multi-model", targets=IN_IMAGES)
def test_image_metadata(start: Start) -> None:
    server = start(ECHO).ready()
    assert isinstance(server, Container)
    image = server.container.image.attrs["Config"]
    assert image["Entrypoint"] == ["python", "-m", "pixelserve.serving"]
    assert image["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert image["Labels"]["com.amazonaws.sagemaker.capabilities.multi-models"] == "true"
    assert server.container.attrs["Args"][-1] == "serve"


@contract("SAGEMAKER_BIND_TO_PORT moves the one port it listens on")
def test_bind_to_port(target: str, start: Start) -> None:
    port = free_port() if target == "native" else 9123
    assert start(ECHO, SAGEMAKER_BIND_TO_PORT=str(port)).ready().invoke("1").status_code == 200


@contract("Read-only root (multi-model-server: with a writable /tmp), read-only /opt/ml/model", targets=IN_IMAGES)
def test_read_only(target: str, start: Start) -> None:
    # multi-model-server unpacks native libraries into /tmp; ours needs no writable folder at all
    tmpfs = {"/tmp": "exec"} if target == "mms" else {}
    server = start(ECHO, run={"read_only": True, "tmpfs": tmpfs}).ready()
    assert server.invoke('"still"').json() == "still"


@contract("/ping is 503 with the reason while the model loads", mms=ALWAYS_HEALTHY)
def test_ping_while_loading(start: Start) -> None:
    server = start(SLOW_TO_LOAD.format(seconds=3))
    assert failing_ping(server, "loading").json()["error"] == {
        "code": "not_ready",
        "message": "The model is loading.",
        "param": None,
        "retryable": True,
        "retry_after": 2,
        "state": "loading",
    }
    early = server.invoke("1")
    assert (early.status_code, early.headers["retry-after"]) == (503, "2")
    assert server.ready().invoke("1").status_code == 200


@contract("/ping is 503 with the reason when model_fn failed", mms=ALWAYS_HEALTHY)
def test_ping_after_a_failed_load(start: Start) -> None:
    server = start(
        "def model_fn(model_dir):\n    raise OSError('no weights.bin')\n\ndef predict_fn(d, m):\n    return d\n"
    )
    failing_ping(server, "OSError: no weights.bin")


@contract("/ping is 503 after the worker died, and 200 again with its successor", mms=ALWAYS_HEALTHY)
def test_ping_after_a_lost_worker(target: str, start: Start) -> None:
    server = start(BUSY).ready()
    wait_for(lambda: server.invoke("{}").status_code == 200)
    os.kill(workers(target, server)[0], signal.SIGKILL)
    assert failing_ping(server, "signal 9").json()["error"]["state"] == "worker_lost"
    server.ready()


@contract("A handler that fails at import is answered at once, with the reason")
def test_import_error(start: Start) -> None:
    server = start("import no_such_package\n")
    wait_for(server.ping)
    answer = wait_for(lambda: (got := server.invoke("1")) and "no_such_package" in got.text and got)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "not_ready"


@contract("model_fn that fails is not run again by a request")
def test_a_failed_load_is_not_repeated(start: Start) -> None:
    handler = """
        def model_fn(model_dir):
            print("model_fn was called", flush=True)
            raise OSError("no weights.bin")

        def predict_fn(data, model):
            return data
    """
    server = start(handler)
    wait_for(lambda: server.ping() and server.invoke("1").text.count("no weights.bin"))
    before = server.log_text().count("model_fn was called")
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        answers = [client.post("/invocations", json=1) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {503}
    assert server.log_text().count("model_fn was called") - before < 5


@contract("A killed worker is replaced; requests are served again")
def test_a_killed_worker_is_replaced(target: str, start: Start) -> None:
    server = start(BUSY).ready()
    wait_for(lambda: server.invoke("{}").status_code == 200)
    victim = workers(target, server)[-1]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in workers(target, server))
    wait_for(lambda: _status(server) == 200)


def _status(server: Target) -> int:
    try:
        return httpx.post(f"{server.url}/invocations", json={}, timeout=30, trust_env=False).status_code
    except httpx.TransportError:
        return 0


@contract("requirements.txt is not installed at start; the log says that it is there")
def test_requirements_are_left_alone(start: Start) -> None:
    server = start(ECHO, files={"requirements.txt": "no-such-package-anywhere==1\n"}).ready()
    assert server.invoke("1").status_code == 200
    assert "requirements.txt is not installed" in server.log_text()


@contract(
    "Several models in one container: load, list, invoke, unload; 409, 404",
    mms=Deviation(
        "refused at start: its management API fetches any URL, on the one port there is",
        lambda server: server.exit_code() == 2 and "needs PIXELSERVE_BACKEND=native" in server.log_text(),
    ),
)
def test_several_models(target: str, start: Start, tmp_path: Path) -> None:
    root = "/opt/ml" if target != "native" else str(tmp_path)
    server = start(ECHO, SAGEMAKER_MULTI_MODEL="true", PIXELSERVE_MODELS_DIR=root)
    with line(server):
        server.ready()
    order = {"model_name": "echo", "url": server.model_path}
    assert [server.client.post("/models", json=order).status_code for _ in range(2)] == [200, 409]
    assert [model["modelName"] for model in server.client.get("/models").json()["models"]] == ["echo"]
    assert server.client.post("/models/echo/invoke", json={"a": 1}).json() == {"a": 1}
    assert server.client.delete("/models/echo").status_code == 200
    assert server.client.post("/models/echo/invoke", json=1).status_code == 404


@contract("SIGTERM: exit code 0")
def test_sigterm(start: Start) -> None:
    server = start(ECHO).ready()
    assert server.invoke("1").status_code == 200
    assert server.terminate() == 0


@contract(
    "SIGTERM under load: nothing that was taken on is lost", mms=Deviation("it resets the connections it has", bool)
)
def test_sigterm_under_load(start: Start) -> None:
    server = start(BUSY).ready()
    statuses: list[int] = []
    lost: list[str] = []

    def call() -> None:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            while True:
                try:
                    statuses.append(client.post("/invocations", json={"seconds": 0.02}).status_code)
                except (httpx.ConnectError, httpx.ConnectTimeout):  # never taken on
                    return
                except httpx.TransportError as error:
                    lost.append(type(error).__name__)
                    return

    threads = in_threads(8, call)
    wait_for(lambda: len(statuses) > 20)
    code = server.terminate()
    for thread in threads:
        thread.join()
    with line(lost):
        assert lost == []
        assert set(statuses) == {200}
        assert code == 0
        assert json.loads(server.log_text().splitlines()[-1])["message"] == "ended, nothing lost"


@contract("The server process is killed: the exit code is not 0")
def test_a_killed_server(target: str, start: Start) -> None:
    server = start(ECHO).ready()
    word = "com.amazonaws.ml.mms.ModelServer" if target == "mms" else "pixelserve.serving"
    os.kill(server.processes(word)[0], signal.SIGKILL)
    assert server.exit_code() != 0


@contract("An unusable setting ends it with one line that names the variable")
def test_unusable_setting(start: Start) -> None:
    server = start(ECHO, SAGEMAKER_MODEL_SERVER_WORKERS="many")
    assert server.exit_code() == 2
    assert server.log_text() == "serve: SAGEMAKER_MODEL_SERVER_WORKERS is 'many': write a number such as 0.\n"
