"""Several models in one container, over real HTTP: SageMaker's multi-model contract."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from servers import Server, wait_for

NAMED = """
import helper, os

def model_fn(model_dir):
    return open(os.path.join(model_dir, "name.txt")).read()

def predict_fn(data, model, context):
    context.answer_attributes = context.custom_attributes
    if data == "die":
        os.kill(os.getppid(), 9)
        data = "sleep"
    if data == "spawn":
        import subprocess
        data = subprocess.Popen(["sleep", "600"]).pid
    if data == "sleep":
        import time
        time.sleep(1)
    return {"model": model, "helper": helper.NAME, "data": data}
"""


def write_model(root: Path, name: str, handler: str = NAMED) -> Path:
    """A model as SageMaker unpacks it: /opt/ml/models/HASH/model."""
    folder = root / name / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "name.txt").write_text(name)
    (folder / "code" / "inference.py").write_text(handler)
    (folder / "code" / "helper.py").write_text(f"NAME = 'helper of {name}'\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def server(serve: Callable[..., Server], root: Path) -> Server:
    return serve(SAGEMAKER_MULTI_MODEL="true", PIXELSERVE_MODELS_DIR=str(root)).ready()


def load(server: Server, name: str, folder: Path | str) -> httpx.Response:
    return server.client.post("/models", json={"model_name": name, "url": str(folder)})


def invoke(server: Server, name: str, data: object = 1, **headers: str) -> httpx.Response:
    return server.client.post(f"/models/{name}/invoke", json=data, headers=headers)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_two_models_with_modules_of_one_name_answer_side_by_side(server: Server, root: Path) -> None:
    for name in ("a", "b"):
        assert load(server, name, write_model(root, name)).status_code == 200
    for name in ("a", "b"):
        answer = invoke(server, name, [1], **{"x-amzn-sagemaker-custom-attributes": "k=v"})
        assert answer.json() == {"model": name, "helper": f"helper of {name}", "data": [1]}
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "k=v"


def test_load_list_describe_unload(server: Server, root: Path) -> None:
    folders = {name: write_model(root, name) for name in ("one", "three", "two")}
    assert server.client.get("/models").json() == {"models": []}
    for name, folder in folders.items():
        described = {"modelName": name, "modelUrl": str(folder)}
        assert load(server, name, folder).json() == {"status": "Workers scaled", **described}
    first = server.client.get("/models", params={"limit": 2}).json()
    assert [model["modelName"] for model in first["models"]] == ["one", "three"]
    rest = server.client.get("/models", params={"limit": 2, "next_page_token": first["nextPageToken"]}).json()
    assert rest == {"models": [{"modelName": "two", "modelUrl": str(folders["two"])}]}
    assert server.client.get("/models/two").json() == rest["models"][0]
    unloaded = server.client.delete("/models/two")
    assert (unloaded.status_code, unloaded.json()["status"]) == (200, 'Model "two" unregistered')
    for answer in (server.client.get("/models/two"), server.client.delete("/models/two"), invoke(server, "two")):
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert load(server, "two", folders["two"]).status_code == 200


def test_loaded_already_is_409(server: Server, root: Path) -> None:
    folder = write_model(root, "a")
    load(server, "a", folder)
    again = load(server, "a", folder)
    assert (again.status_code, code_of(again)) == (409, "already_loaded")


def test_no_memory_is_507_and_the_others_go_on(server: Server, root: Path) -> None:
    load(server, "a", write_model(root, "a"))
    greedy = "def model_fn(model_dir):\n    raise MemoryError\n\ndef predict_fn(d, m):\n    return d\n"
    answer = load(server, "greedy", write_model(root, "greedy", greedy))
    assert (answer.status_code, code_of(answer)) == (507, "out_of_memory")
    large = write_model(root, "large")
    with (large / "weights.bin").open("wb") as file:
        file.truncate(psutil.virtual_memory().total)  # a hole: it takes no disk
    answer = load(server, "large", large)
    assert (answer.status_code, code_of(answer)) == (507, "out_of_memory")
    assert "Unload another model" in answer.text
    assert invoke(server, "a").status_code == 200
    assert [model["modelName"] for model in server.client.get("/models").json()["models"]] == ["a"]


def test_a_model_that_does_not_load_is_told_and_forgotten(server: Server, root: Path) -> None:
    broken = write_model(root, "broken", "import no_such_package\n")
    answer = load(server, "broken", broken)
    assert (answer.status_code, code_of(answer)) == (500, "handler_error")
    assert "no_such_package" in answer.text
    (broken / "code" / "inference.py").write_text(NAMED)
    assert load(server, "broken", broken).status_code == 200


@pytest.mark.parametrize(
    "order",
    [
        {"model_name": "a"},
        {"model_name": "a", "url": 7},
        {"model_name": "", "url": "/"},
        {"model_name": "x/y", "url": "MODELS/a"},
        {"model_name": "p%41", "url": "MODELS/a"},
        {"model_name": "..", "url": "MODELS/a"},
        {"model_name": "a", "url": "\0"},
        {"model_name": "a", "url": "MODELS/" + 300 * "x"},
        {"model_name": "a", "url": "MODELS"},
        ["a"],
        {"model_name": "a", "url": "/etc"},
        {"model_name": "a", "url": "https://elsewhere.example/model.tar.gz"},
        {"model_name": "a", "url": "MODELS/../../.."},
    ],
)
def test_orders_that_make_no_sense_are_400(server: Server, root: Path, order: object) -> None:
    if isinstance(order, dict) and isinstance(order.get("url"), str):
        order["url"] = order["url"].replace("MODELS", str(root))
    assert server.client.post("/models", json=order).status_code == 400
    assert server.ping().status_code == 200  # type: ignore[union-attr]


def test_an_order_is_a_small_body(server: Server) -> None:
    deep = server.client.post("/models", content=b"[" * 60_000)
    assert (deep.status_code, code_of(deep)) == (400, "bad_request")
    large = server.client.post("/models", content=b"[" * 100_000)
    assert (large.status_code, code_of(large)) == (413, "body_too_large")


def test_headers_with_blanks_are_not_a_lost_worker(server: Server, root: Path) -> None:
    load(server, "a", write_model(root, "a"))
    body = b"1"
    head = (
        b"POST /models/a/invoke HTTP/1.1\r\nhost: localhost\r\naccept: application/json \t\r\ncontent-length: 1\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_errors_of_a_model_are_passed_on_with_the_request_id(server: Server, root: Path) -> None:
    load(server, "a", write_model(root, "a"))
    answer = server.client.post(
        "/models/a/invoke", content=b"{", headers={"x-request-id": "mine-1", "content-type": "application/json"}
    )
    assert (answer.status_code, code_of(answer), answer.json()["request_id"]) == (400, "bad_request", "mine-1")


def test_a_model_whose_server_dies_costs_its_requests_only(server: Server, root: Path) -> None:
    for name in ("a", "b"):
        load(server, name, write_model(root, name))
    children = [invoke(server, "a", "spawn").json()["data"]]
    died = invoke(server, "a", "die")
    assert died.status_code == 503
    wait_for(lambda: invoke(server, "a").status_code == 404)
    assert invoke(server, "b").status_code == 200
    wait_for(lambda: not psutil.pid_exists(children[0]))
    assert load(server, "a", root / "a" / "model").status_code == 200
    assert invoke(server, "a").status_code == 200


def test_wrong_routes(server: Server) -> None:
    assert "/models/NAME/invoke" in server.invoke("{}").text
    assert server.client.put("/models").status_code == 405
    assert server.client.get("/nothing").status_code == 404
    assert server.client.get("/models", params={"limit": "many"}).status_code == 400


def test_metrics_are_of_all_models(server: Server, root: Path) -> None:
    load(server, "a", write_model(root, "a"))
    invoke(server, "a")
    wait_for(lambda: 'pixelserve_stage_seconds_count{stage="predict"} 1.0' in server.client.get("/metrics").text)
    before = _settled(server)
    invoke(server, "a")
    looks = itertools.count(1)  # each is counted, too, once it has been answered
    wait_for(lambda: _counted(server) == before + 1 + next(looks))


def _settled(server: Server) -> float:
    """The count when all that was answered is in it: the last look alone makes the next one higher."""
    counts = [_counted(server)]
    while len(counts) < 2 or counts[-1] != counts[-2] + 1:
        counts.append(_counted(server))
    return counts[-1]


def _counted(server: Server) -> float:
    text = server.client.get("/metrics").text
    return float(re.findall(r'pixelserve_requests_total{status="200"} (\S+)', text)[0])


def test_sigterm_while_a_model_loads_does_not_wait_for_it(server: Server, root: Path) -> None:
    slow = "import time\n\ndef model_fn(model_dir):\n    time.sleep(600)\n\ndef predict_fn(d, m):\n    return d\n"
    folder = write_model(root, "slow", slow)
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(load(server, "slow", folder).status_code))
    caller.start()
    wait_for(lambda: invoke(server, "slow").status_code == 503)
    assert server.terminate() == 0
    caller.join()
    assert answers == [503]


def test_sigterm_loses_nothing_and_leaves_nobody(server: Server, root: Path) -> None:
    load(server, "a", write_model(root, "a"))
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(invoke(server, "a", "sleep").status_code))
    caller.start()
    wait_for(lambda: "pixelserve_requests_held 1.0" in httpx.get(f"{server.url}/metrics", trust_env=False).text)
    processes = psutil.Process(server.process.pid).children(recursive=True)
    assert server.terminate() == 0
    caller.join()
    assert answers == [200]
    _, alive = psutil.wait_procs(processes, 10)
    assert alive == []


def test_killing_the_front_leaves_no_model_behind(server: Server, root: Path) -> None:
    load(server, "a", write_model(root, "a"))
    processes = psutil.Process(server.process.pid).children(recursive=True)
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, 10)
    assert alive == []


def test_the_drain_is_within_its_time(serve: Callable[..., Server], root: Path) -> None:
    """A model that does not end in time is lost, once for all: the front does not wait for it again."""
    server = serve(
        SAGEMAKER_MULTI_MODEL="true", PIXELSERVE_MODELS_DIR=str(root), PIXELSERVE_DRAIN_SECONDS="0.5"
    ).ready()
    slow = "import time\n\ndef model_fn(model_dir):\n    return 1\n\ndef predict_fn(d, m):\n    time.sleep(600)\n"
    load(server, "slow", write_model(root, "slow", slow))

    def call() -> None:
        with contextlib.suppress(httpx.TransportError):
            invoke(server, "slow")

    caller = threading.Thread(target=call)
    caller.start()
    wait_for(lambda: "pixelserve_requests_held 1.0" in httpx.get(f"{server.url}/metrics", trust_env=False).text)
    assert server.terminate() == 1
    caller.join()
    assert server.log()[-1]["message"] == "ended with work lost"


def test_each_model_brings_its_own_code_whatever_the_environment_of_the_wrapped_model_says(
    serve: Callable[..., Server], root: Path
) -> None:
    wrapped = {"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code", "SAGEMAKER_PROGRAM": "inference.py"}
    server = serve(SAGEMAKER_MULTI_MODEL="true", PIXELSERVE_MODELS_DIR=str(root), **wrapped).ready()
    for name in ("a", "b"):
        assert load(server, name, write_model(root, name)).status_code == 200
    assert [invoke(server, name).json()["helper"] for name in ("a", "b")] == ["helper of a", "helper of b"]


def test_a_folder_that_does_not_exist_is_404(server: Server, root: Path) -> None:
    for absent in (root / "none" / "model", "/no-such-folder"):
        answer = load(server, "a", absent)
        assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert load(server, "a", root.parent).status_code == 400


def test_status_and_headers_that_a_handler_sets_are_passed_on(server: Server, root: Path) -> None:
    source = """
def model_fn(model_dir):
    return 1

def predict_fn(data, model, context):
    context.set_response_status(422)
    context.set_response_header(0, "X-Own", "1")
    if data == 0:
        raise ValueError
    return "not taken"
"""
    load(server, "a", write_model(root, "a", source))
    answer = invoke(server, "a")
    assert (answer.status_code, answer.json(), answer.headers["x-own"]) == (422, "not taken", "1")
    assert len(answer.headers.get_list("content-type")) == len(answer.headers.get_list("date")) == 1
    failed = invoke(server, "a", 0)
    assert (failed.status_code, code_of(failed)) == (500, "handler_error")


def test_what_a_model_prints_does_not_harm_it(server: Server, root: Path) -> None:
    loud = "import sys\n\ndef model_fn(model_dir):\n    return 1\n\ndef predict_fn(d, m):\n"
    loud += "    print('[' * 200_000, file=sys.stderr)\n    return d\n"
    assert load(server, "loud", write_model(root, "loud", loud)).status_code == 200
    assert [invoke(server, "loud").status_code for _ in range(3)] == [200, 200, 200]
