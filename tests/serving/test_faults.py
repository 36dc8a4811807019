"""Every fault of the contract over real HTTP: what the caller sees, and that the server goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest
from servers import Server, wait_for

SLEEPER = """
    import os, time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model, context):
        deadline = time.monotonic() + data.get("seconds", 0)
        while time.monotonic() < deadline:
            if data.get("polite"):
                context.progress(0, 1)
            time.sleep(0.01)
        if data.get("raise"):
            raise RuntimeError("the secret " + data["raise"])
        return {"pid": os.getpid()}
"""


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as opened:
        yield opened


def in_threads(count: int, call: Callable[[int], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_bound_at_once_and_503_with_the_reason_while_loading(serve: Callable[..., Server]) -> None:
    server = serve("""
        import time

        def model_fn(model_dir):
            time.sleep(2)

        def predict_fn(data, model):
            return data
    """)
    first = wait_for(server.ping)
    assert first.status_code == 503
    assert first.json()["error"] == {
        "code": "not_ready",
        "message": "The model is loading.",
        "param": None,
        "retryable": True,
        "retry_after": 2,
        "state": "loading",
    }
    early = server.invoke("{}")
    assert (early.status_code, early.headers["retry-after"]) == (503, "2")
    server.ready()
    assert server.invoke("{}").status_code == 200


PREDICT = "\n\ndef predict_fn(data, model):\n    return data\n"


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("def model_fn(model_dir):\n    raise OSError('no weights.bin')" + PREDICT, "OSError: no weights.bin"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("def model_fn(model_dir):\n    return 1", "defines no predict_fn(data, model)"),
        (
            "def model_fn(model_dir):\n    return 1\n\ndef predict_fn(d):\n    return d",
            "must take (data, model[, context])",
        ),
        (PREDICT, "defines no model_fn"),
        ("import os\nos._exit(7)", "ended while loading (exit code 7)"),
        ("def model_fn(model_dir):\n    raise SystemExit(1)" + PREDICT, "SystemExit"),
    ],
)
def test_what_does_not_load_is_told_by_ping(serve: Callable[..., Server], handler: str, reason: str) -> None:
    server = serve(handler)

    def told() -> bool:
        answer = server.ping()
        return answer is not None and answer.status_code == 503 and reason in answer.json()["error"]["message"]

    wait_for(told, what=reason)
    assert server.invoke("{}").status_code == 503
    assert server.process.poll() is None


def test_no_handler_at_all(serve: Callable[..., Server]) -> None:
    server = serve(SAGEMAKER_SUBMIT_DIRECTORY="/nowhere")
    wait_for(lambda: (answer := server.ping()) and "No handler at /nowhere" in answer.text)


def test_a_killed_worker_costs_its_requests_only(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    wait_for(lambda: server.loaded() == 2)
    answers: list[httpx.Response] = []

    def call(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            answers.append(client.post("/invocations", json={"seconds": 0.3}))
            answers.append(client.post("/invocations", json={"seconds": 0.3}))

    threads = in_threads(6, call)
    wait_for(lambda: len(answers) >= 1)
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)
    for thread in threads:
        thread.join()
    statuses = Counter(answer.status_code for answer in answers)
    assert len(answers) == 12
    assert set(statuses) == {200, 503}
    assert statuses[503] <= 3
    lost = next(answer for answer in answers if answer.status_code == 503)
    assert lost.json()["error"]["code"] == "worker_lost"
    assert lost.headers["retry-after"] == "1"
    wait_for(lambda: len(server.workers()) == 2 and victim not in server.workers())
    assert server.ready().invoke("{}").status_code == 200


def test_ping_is_503_between_the_loss_of_the_only_worker_and_its_successor(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    os.kill(server.workers()[0], signal.SIGKILL)
    lost = wait_for(lambda: (answer := server.ping()) and answer.status_code == 503 and answer)
    assert lost.json()["error"]["code"] == "worker_lost"
    assert "signal 9" in lost.json()["error"]["message"]
    server.ready()


def test_an_idle_connection_of_a_dead_worker_goes_on_with_another(
    serve: Callable[..., Server], stack: contextlib.ExitStack
) -> None:
    server = serve(SLEEPER, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    wait_for(lambda: server.loaded() == 2)
    connection = stack.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)))

    def pid() -> int:
        connection.request("POST", "/invocations", b"{}", {"content-type": "application/json"})
        return int(json.loads(connection.getresponse().read())["pid"])

    first, held = pid(), connection.sock
    time.sleep(0.1)  # the worker notes that it is idle just after its answer has left
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: first not in server.workers())
    assert pid() != first
    assert connection.sock is held


def test_sigterm_under_load_loses_nothing(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    statuses: list[int] = []
    sent, failed = [0], [0]

    def call(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            while True:
                try:
                    sent[0] += 1
                    statuses.append(client.post("/invocations", json={"seconds": 0.02}).status_code)
                except httpx.ConnectError:
                    sent[0] -= 1  # refused: never taken on
                    return
                except httpx.TransportError:
                    failed[0] += 1
                    return

    threads = in_threads(8, call)
    wait_for(lambda: len(statuses) > 20)
    assert server.terminate() == 0
    for thread in threads:
        thread.join()
    assert failed[0] == 0
    assert Counter(statuses) == {200: sent[0]}
    assert server.log()[-1]["message"] == "ended, nothing lost"


def test_a_handler_that_raises_is_500_without_traceback_or_payload(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    answer = server.invoke('{"raise": "PAYLOAD-MARK"}', x_request_id="my-request-1")
    assert answer.status_code == 500
    assert answer.json() == {
        "error": {
            "code": "handler_error",
            "message": "predict_fn raised RuntimeError. The log has the details under this request id.",
            "param": None,
            "retryable": False,
        },
        "request_id": "my-request-1",
    }
    failure = wait_for(lambda: [line for line in server.log() if line.get("message") == "predict_fn failed"])[0]
    assert failure["request_id"] == "my-request-1"
    assert "inference.py" in failure["traceback"]
    assert "PAYLOAD-MARK" not in server.log_path.read_text()
    assert server.invoke("{}").status_code == 200


def test_time_out_is_504_and_the_work_ends(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="0.5").ready()
    late = server.invoke('{"seconds": 20, "polite": true}')
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert server.invoke("{}").status_code == 200


def test_a_worker_whose_handler_never_returns_is_replaced(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="0.3").ready()
    stuck = server.workers()[0]
    assert server.invoke('{"seconds": 600}').status_code == 504
    wait_for(lambda: server.workers() and stuck not in server.workers())
    server.ready()
    assert server.invoke("{}").status_code == 200


def test_a_full_queue_is_429_with_retry_after(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER, PIXELSERVE_QUEUE_LENGTH="2").ready()
    answers: list[httpx.Response] = []
    threads = in_threads(8, lambda number: answers.append(server.invoke('{"seconds": 0.4}')))
    for thread in threads:
        thread.join()
    refused = [answer for answer in answers if answer.status_code == 429]
    assert Counter(answer.status_code for answer in answers) == {200: 2, 429: 6}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert refused[0].json()["error"]["retryable"] is True
    assert server.invoke("{}").status_code == 200


def test_work_for_a_client_that_hung_up_ends(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        body = b'{"seconds": 600, "polite": true}'
        head = f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
    assert server.invoke("{}").status_code == 200
    wait_for(lambda: any(line.get("status") == 499 for line in server.log()))


@pytest.mark.parametrize(
    ("body", "content_type", "accept", "status", "code"),
    [
        (b"", "application/json", "*/*", 400, "bad_request"),
        (b"{", "application/json", "*/*", 400, "bad_request"),
        (b"not npy", "application/x-npy", "*/*", 400, "bad_request"),
        (b"{}", "application/json", "image/gif", 406, "not_acceptable"),
        (b"<x/>", "application/xml", "*/*", 415, "unsupported_media_type"),
        (b"x" * 2_000, "application/json", "*/*", 413, "body_too_large"),
    ],
)
def test_each_4xx(
    serve: Callable[..., Server], body: bytes, content_type: str, accept: str, status: int, code: str
) -> None:
    server = serve(SLEEPER, PIXELSERVE_MAX_BODY_BYTES="1000").ready()
    answer = server.invoke(body, content_type, accept=accept)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "Traceback" not in answer.text
    assert server.invoke("{}").status_code == 200


def test_a_body_without_length_is_limited_too(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER, PIXELSERVE_MAX_BODY_BYTES="1000").ready()
    answer = server.client.post(
        "/invocations", content=(b"x" * 500 for _ in range(4)), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_wrong_routes_and_methods(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    assert server.client.get("/nothing").status_code == 404
    wrong = server.client.get("/invocations")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (405, "/invocations takes POST, not GET.")


def test_a_status_of_the_handlers_own_is_kept(serve: Callable[..., Server]) -> None:
    server = serve("""
        class Busy(Exception):
            status_code = 422
            message = "no face in the image"

        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            raise Busy
    """).ready()
    answer = server.invoke("{}")
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "no face in the image")


def test_healthy_pings_and_payloads_are_not_logged(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    for _ in range(3):
        server.ping()
    server.invoke('{"note": "PAYLOAD-MARK"}')
    server.invoke('{"PAYLOAD-MARK')
    wait_for(lambda: sum(line.get("path") == "/invocations" for line in server.log()) == 2)
    text = server.log_path.read_text()
    assert "PAYLOAD-MARK" not in text
    assert all(line["status"] == 503 for line in server.log() if line.get("path") == "/ping")


def test_a_taken_port_and_a_wrong_setting_are_one_clear_line(serve: Callable[..., Server]) -> None:
    first = serve(SLEEPER).ready()
    second = serve(SLEEPER, SAGEMAKER_BIND_TO_PORT=str(first.port))
    assert second.process.wait(30) == 1
    assert "Cannot listen on 127.0.0.1" in second.log_path.read_text()
    third = serve(SLEEPER, SAGEMAKER_MODEL_SERVER_WORKERS="many")
    assert third.process.wait(30) == 2
    assert third.log_path.read_text() == "serve: SAGEMAKER_MODEL_SERVER_WORKERS is 'many': write a number such as 0.\n"


def test_workers_end_with_their_supervisor(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    worker = server.workers()[0]
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()

    def is_gone() -> bool:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(is_gone)


def test_a_slow_reader_does_not_hold_others_up(serve: Callable[..., Server]) -> None:
    server = serve("""
        def model_fn(model_dir):
            return None

        def output_fn(prediction, accept):
            return b"x" * prediction, "application/octet-stream"

        def predict_fn(data, model):
            return data["size"]
    """).ready()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        body = b'{"size": 20000000}'
        head = f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        connection.recv(1)
        assert len(server.invoke('{"size": 10}').content) == 10
        received = 1
        deadline = time.monotonic() + 30
        while received < 20_000_000 and time.monotonic() < deadline:
            received += len(connection.recv(1 << 20))
    assert received >= 20_000_000
