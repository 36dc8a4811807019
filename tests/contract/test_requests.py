"""The contract of one request: what goes in, what comes out, and what goes wrong."""

from __future__ import annotations

import io
import pickle
import threading
from collections import Counter
from collections.abc import Callable

import cv2
import httpx
import numpy as np
import pytest
from cases import Deviation, Target, contract, line
from handlers import BUSY, ECHO
from servers import in_threads, wait_for

Shared = Callable[[str, str], Target]
JSON, NPY, CSV, RAW = "application/json", "application/x-npy", "text/csv", "application/octet-stream"


@pytest.fixture
def echo(target: str, shared_servers: Shared) -> Target:
    return shared_servers(target, ECHO)


@pytest.fixture
def busy(target: str, shared_servers: Shared) -> Target:
    return shared_servers(target, BUSY)


def npy(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


def error_of(answer: httpx.Response) -> str:
    """The code of an error in the documented shape."""
    body = answer.json()
    assert set(body) == {"error", "request_id"}
    assert {"code", "message", "param", "retryable"} <= set(body["error"])
    assert "Traceback" not in answer.text
    return str(body["error"]["code"])


def is_foreign(status: int) -> Callable[[httpx.Response], bool]:
    """Whether an answer has this status and a body that is not in the documented shape."""
    return lambda answer: answer.status_code == status and '"request_id"' not in answer.text


@contract("Default input_fn and output_fn: JSON, NPY, CSV, raw bytes")
def test_default_types(echo: Target) -> None:
    assert echo.invoke('{"a": [1, 2]}', accept=JSON).json() == {"a": [1, 2]}
    back = echo.invoke(npy([[1.5, 2], [3, 4]]), NPY, accept=NPY)
    assert back.headers["content-type"] == NPY
    assert np.load(io.BytesIO(back.content), allow_pickle=False).tolist() == [[1.5, 2], [3, 4]]
    assert echo.invoke("1,2\n3,4\n", CSV, accept=CSV).text == "1,2\n3,4\n"
    assert echo.invoke(bytes(range(256)), RAW, accept=RAW).content == bytes(range(256))


class Exploit:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return (eval, ("__import__('os')._exit(66)",))


@contract("NPY is never unpickled")
def test_pickled_npy(echo: Target) -> None:
    array = np.empty(1, dtype=object)
    array[0] = Exploit()
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    assert pickle.dumps(array)
    answer = echo.invoke(file.getvalue(), NPY)
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")
    assert echo.invoke("1").status_code == 200


@contract("Custom attributes reach the handler and are answered; unknown headers are ignored")
def test_headers(busy: Target) -> None:
    given = {"x_amzn_sagemaker_custom_attributes": "scale=2;k=v", "x_amzn_unheard_of": "1"}
    answer = busy.invoke("{}", **given)
    assert answer.status_code == 200
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "scale=2;k=v"


@contract("Bad request: 400, error as JSON")
def test_bad_request(echo: Target) -> None:
    answer = echo.invoke("{")
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")


@contract("Empty body: 400, error as JSON")
def test_empty_body(echo: Target) -> None:
    answer = echo.invoke(b"")
    assert (answer.status_code, error_of(answer)) == (400, "bad_request")


@contract("Accept that cannot be answered: 406, error as JSON")
def test_not_acceptable(echo: Target) -> None:
    answer = echo.invoke("{}", accept="image/gif")
    assert (answer.status_code, error_of(answer)) == (406, "not_acceptable")


@contract("Unknown content type: 415, error as JSON")
def test_unsupported(echo: Target) -> None:
    answer = echo.invoke("<x/>", "application/xml")
    assert (answer.status_code, error_of(answer)) == (415, "unsupported_media_type")


@contract("A body of 25 MB is taken")
def test_large_body(echo: Target) -> None:
    body = bytes(25_000_000)
    assert echo.invoke(body, RAW, accept=RAW).content == body


@contract(
    "A larger body: 413 that names the limit and the way out",
    mms=Deviation("Netty answers it, in words of its own", is_foreign(413)),
)
def test_too_large(echo: Target) -> None:
    answer = echo.invoke(bytes(25_000_001), RAW)
    with line(answer):
        assert (answer.status_code, error_of(answer)) == (413, "body_too_large")
        assert "25,000,000" in answer.text


@contract("An answer of 20 MB arrives")
def test_large_answer(busy: Target) -> None:
    assert busy.invoke('{"bytes": 20000000}').content == b"x" * 20_000_000


@contract("A super-resolution answer of 20 MB")
def test_large_picture(start: Callable[..., Target]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 1000, 3), np.uint8)
    body = cv2.imencode(".jpg", noise)[1].tobytes()
    server = start(SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="600").ready()  # however busy the machine is
    answer = server.invoke(body, "image/jpeg", accept="image/png", x_amzn_sagemaker_custom_attributes="scale=4")
    assert len(answer.content) > 20_000_000
    assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR).shape == (3200, 4000, 3)


@contract("Handler failure: 500, error as JSON, no traceback, no payload in the log")
def test_handler_failure(busy: Target) -> None:
    answer = busy.invoke('{"raise": "ValueError", "text": "PAYLOAD-MARK"}')
    assert (answer.status_code, error_of(answer)) == (500, "handler_error")
    assert "PAYLOAD-MARK" not in answer.text
    assert busy.invoke("{}").status_code == 200
    assert "PAYLOAD-MARK" not in busy.log_text()


@contract("Out of memory: 507")
def test_out_of_memory(busy: Target) -> None:
    answer = busy.invoke('{"raise": "MemoryError"}')
    assert (answer.status_code, error_of(answer)) == (507, "out_of_memory")


@contract("Unknown routes: 404 that lists those there are", mms=Deviation("answers a page of its own", is_foreign(404)))
def test_unknown_route(echo: Target) -> None:
    answer = echo.client.get("/nothing")
    with line(answer):
        assert (answer.status_code, error_of(answer)) == (404, "not_found")
        assert "/invocations" in answer.text


@contract("The management API is not on the public port")
def test_no_management(echo: Target) -> None:
    answer = echo.client.post("/models", params={"url": "http://127.0.0.1:1/model.mar"})
    assert answer.status_code in (404, 405)
    assert echo.client.get("/models").status_code in (404, 405)


@contract(
    "GET /metrics: Prometheus text on the same port, no request adds a series (detailed observability bills them)",
    mms=Deviation("has none on its inference port", is_foreign(404)),
)
def test_metrics(echo: Target) -> None:
    assert echo.invoke("1").status_code == 200
    answer = echo.client.get("/metrics")
    with line(answer):
        assert answer.headers["content-type"].startswith("text/plain")
        assert 'pixelserve_requests_total{status="200"}' in answer.text
    before = list_series(answer.text)
    for number in range(20):
        headers = {"X-Amzn-SageMaker-Custom-Attributes": f"id={number}", "user-agent": f"caller/{number}"}
        assert echo.client.post(f"/invocations?id={number}", content=f"{number}", headers=headers).status_code == 200
    assert list_series(echo.client.get("/metrics").text) == before


def list_series(text: str) -> set[str]:
    """Names and labels of Prometheus text, without values."""
    return {sample.rpartition(" ")[0] for sample in text.splitlines() if not sample.startswith("#")}


@contract(
    "GET /execution-parameters, by batch transform's variables",
    mms=Deviation("answers 404; batch transform uses its defaults", is_foreign(404)),
)
def test_execution_parameters(start: Callable[..., Target]) -> None:
    variables = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "7",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
    }
    answer = start(ECHO, **variables).ready().client.get("/execution-parameters")
    with line(answer):
        assert answer.status_code == 200
    assert answer.json() == {"MaxConcurrentTransforms": 3, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 7}


@contract("transform_fn in place of the other three")
def test_transform(target: str, shared_servers: Shared) -> None:
    server = shared_servers(
        target,
        """
    def model_fn(model_dir):
        return b"!"

    def transform_fn(model, body, content_type, accept):
        return body + model, "text/x-own"
    """,
    )
    answer = server.invoke(b"abc", "text/plain")
    assert (answer.content, answer.headers["content-type"]) == (b"abc!", "text/x-own")


@contract("The network gets the machine's cores, not one thread")
def test_threads(target: str, start: Callable[..., Target]) -> None:
    server = start(BUSY, PIXELSERVE_COMPUTE_THREADS="3").ready()
    assert server.invoke('{"environ": "OMP_NUM_THREADS"}').json() == "3"


@contract(
    "Queue full: 429 or 503 with Retry-After",
    mms=Deviation(
        "answers its own 503 without Retry-After, in words of its own",
        lambda answer: is_foreign(503)(answer) and "retry-after" not in answer.headers,
    ),
)
def test_queue_full(start: Callable[..., Target]) -> None:
    server = start(BUSY, PIXELSERVE_QUEUE_LENGTH="2").ready()
    assert server.invoke("{}").status_code == 200
    answers: list[httpx.Response] = []
    for thread in in_threads(8, lambda: answers.append(server.invoke('{"seconds": 1}'))):
        thread.join()
    counts = Counter(answer.status_code for answer in answers)
    refused = [answer for answer in answers if answer.status_code in (429, 503)]
    assert counts[200] == 8 - len(refused)
    assert 0 < len(refused) < 8
    for answer in refused:
        with line(answer):
            assert int(answer.headers["retry-after"]) >= 1
            assert error_of(answer) == "queue_full"
            assert answer.json()["error"]["retryable"] is True
    assert counts == {200: 2, 429: 6}
    assert server.invoke("{}").status_code == 200


@contract(
    "Time-out in seconds: 504, and the next request is served",
    mms=Deviation("kills the worker and answers a 500 of its own", is_foreign(500)),
)
def test_time_out(start: Callable[..., Target]) -> None:
    server = start(BUSY, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    wait_for(lambda: server.invoke("{}").status_code == 200)
    answer = server.invoke('{"seconds": 2}')
    with line(answer):
        assert (answer.status_code, error_of(answer)) == (504, "deadline_exceeded")
    wait_for(lambda: server.invoke("{}").status_code == 200)


BATCHED = """
    import time

    def model_fn(model_dir):
        return None

    def predict_batch_fn(items, model):
        time.sleep(0.2)
        return [ValueError("bad") if item == "bad" else {"together": len(items)} for item in items]
"""


@contract(
    "Micro-batches; a bad item fails alone", mms=Deviation("batches one request at a time", lambda most: most == 1)
)
def test_batches(start: Callable[..., Target]) -> None:
    server = start(BATCHED).ready()
    assert server.invoke('"warm"').json() == {"together": 1}
    answers: dict[str, httpx.Response] = {}

    def call(item: str) -> None:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            answers[item] = client.post("/invocations", json=item)

    threads = [threading.Thread(target=call, args=(item,)) for item in ("bad", "a", "b", "c", "d", "e", "f")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.pop("bad").status_code == 500
    assert {answer.status_code for answer in answers.values()} == {200}
    most = max(answer.json()["together"] for answer in answers.values())
    with line(most):
        assert most > 1
