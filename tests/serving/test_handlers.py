"""Anybody's inference.py runs: JSON scorer, NPY in and out, transform_fn, batches, and the contract's defaults."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from servers import Server

SCORER = """
    def model_fn(model_dir):
        return {"weight": 2.0}

    def predict_fn(data, model):
        return {"score": model["weight"] * sum(data["values"])}
"""

NPY = """
    import numpy as np

    def model_fn(model_dir, context):
        return np.array([[1.0, 2.0], [3.0, 4.0]])

    def predict_fn(data, model, context):
        context.answer_attributes = f"rows={len(data)};sent={context.custom_attributes}"
        return data @ model
"""

TRANSFORM = """
    def model_fn(model_dir):
        return "!"

    def transform_fn(model, body, content_type, accept):
        return body.decode().upper() + model, "text/plain"
"""

BATCHES = """
    import time

    def model_fn(model_dir):
        return None

    def predict_batch_fn(items, model):
        time.sleep(0.05)
        if any(item["value"] < 0 for item in items):
            raise ValueError("a negative value")
        return [{"value": item["value"] * 10, "batch": len(items)} for item in items]
"""

NAMED = """
def model_fn(model_dir):
    return "{name}"

def predict_fn(data, model):
    return model
"""


def test_json_scorer(serve: Callable[..., Server]) -> None:
    server = serve(SCORER).ready()
    answer = server.invoke('{"values": [1, 2, 3]}')
    assert (answer.status_code, answer.json()) == (200, {"score": 12.0})
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-request-id"]) >= 16


def test_npy_in_and_out_with_attributes_both_ways(serve: Callable[..., Server]) -> None:
    server = serve(NPY).ready()
    buffer = io.BytesIO()
    np.save(buffer, np.eye(2))
    answer = server.invoke(
        buffer.getvalue(),
        "application/x-npy",
        accept="application/x-npy",
        x_amzn_sagemaker_custom_attributes="c000b4f9",
    )
    assert np.array_equal(np.load(io.BytesIO(answer.content)), [[1.0, 2.0], [3.0, 4.0]])
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "rows=2;sent=c000b4f9"


def test_pickled_npy_is_refused(serve: Callable[..., Server]) -> None:
    server = serve(NPY).ready()
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"code": "runs"}], dtype=object), allow_pickle=True)
    answer = server.invoke(buffer.getvalue(), "application/x-npy")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_request"


def test_transform_fn(serve: Callable[..., Server]) -> None:
    answer = serve(TRANSFORM).ready().invoke("hello", "text/plain")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "HELLO!", "text/plain")


def test_requests_that_wait_together_are_one_batch_and_a_bad_item_fails_alone(serve: Callable[..., Server]) -> None:
    server = serve(BATCHES).ready()
    values = [1, 2, -3, 4, 5, 6, 7, 8]
    answers: dict[int, tuple[int, dict[str, object]]] = {}

    def call(value: int) -> None:
        answer = server.invoke(json.dumps({"value": value}))
        answers[value] = (answer.status_code, answer.json())

    threads = [threading.Thread(target=call, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[-3][0] == 500
    assert all(answers[value][0] == 200 and answers[value][1]["value"] == 10 * value for value in values if value > 0)


def test_batches_gather_while_the_device_is_busy(serve: Callable[..., Server]) -> None:
    server = serve(BATCHES).ready()
    sizes: list[int] = []

    def call(value: int) -> None:
        sizes.append(server.invoke(json.dumps({"value": value})).json()["batch"])

    threads = [threading.Thread(target=call, args=(value,)) for value in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(sizes) > 1


def test_csv_both_ways(serve: Callable[..., Server]) -> None:
    answer = serve(NPY).ready().invoke("1,0\n0,1\n", "text/csv", accept="text/csv")
    assert (answer.text, answer.headers["content-type"]) == ("1.0,2.0\n3.0,4.0\n", "text/csv")


def test_the_models_own_code_is_found(serve: Callable[..., Server], tmp_path) -> None:  # type: ignore[no-untyped-def]
    code = tmp_path / "server0" / "model" / "code"
    code.parent.parent.mkdir()
    code.mkdir(parents=True)
    (code / "inference.py").write_text(
        "def model_fn(d):\n    return d\n\ndef predict_fn(data, model):\n    return model\n"
    )
    (tmp_path / "server0").rename(tmp_path / "kept")
    server = serve(SM_MODEL_DIR=str(tmp_path / "kept" / "model"), SAGEMAKER_SUBMIT_DIRECTORY="").ready()
    assert server.invoke("{}").json() == str(tmp_path / "kept" / "model")


def test_the_environments_handler_goes_before_the_models_and_that_before_the_images(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    names = {"job": "SAGEMAKER_SUBMIT_DIRECTORY", "image": "PIXELSERVE_FEATURE"}
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text(NAMED.format(name=name))
    given = {variable: str(tmp_path / name) for name, variable in names.items()} | {"SAGEMAKER_PROGRAM": "own.py"}
    files = {"own.py": NAMED.format(name="model"), "inference.py": NAMED.format(name="another program")}
    servers = {"job": serve(files=files, **given)}
    del given["SAGEMAKER_SUBMIT_DIRECTORY"]
    servers |= {"model": serve(files=files, **given), "image": serve(**given)}
    assert {name: server.ready().invoke("1").json() for name, server in servers.items()} == {
        name: name for name in servers
    }


def test_the_jobs_own_parameters_are_told(serve: Callable[..., Server]) -> None:
    own = {"SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3"}
    server = serve(SCORER, SAGEMAKER_MAX_PAYLOAD_IN_MB="6", **own).ready()
    parameters = {"MaxConcurrentTransforms": 3, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
    assert server.client.get("/execution-parameters").json() == parameters


def test_execution_parameters_and_metrics(serve: Callable[..., Server]) -> None:
    server = serve(SCORER).ready()
    server.invoke('{"values": [1]}')
    parameters = server.client.get("/execution-parameters").json()
    assert parameters["BatchStrategy"] == "SINGLE_RECORD"
    assert parameters["MaxPayloadInMB"] == 25
    metrics = server.client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'pixelserve_requests_total{status="200"} 2.0' in metrics.text
    assert 'pixelserve_stage_seconds_count{stage="predict"} 1.0' in metrics.text


def test_no_request_adds_series_of_its_own(serve: Callable[..., Server]) -> None:
    """SageMaker's detailed observability bills each: there is one a status, and nothing that a caller names."""
    server = serve(SCORER).ready()
    for number in range(20):
        server.client.get(f"/path-{number}")
        server.client.post("/invocations", content=b"{}", headers={"content-type": f"text/kind-{number}"})
    samples = [line for line in server.client.get("/metrics").text.splitlines() if not line.startswith("#")]
    assert {label for line in samples for label in re.findall(r'(\w+)="', line)} == {"le", "stage", "status"}
    assert len([line for line in samples if "status=" in line]) == 2, samples
    assert len(samples) < 120
