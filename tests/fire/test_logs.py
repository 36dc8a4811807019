"""What a server writes of what went wrong, and what it does not."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from handlers import BUSY
from servers import Server, wait_for

from pixelserve.wire import LOGGED_PATH


def test_a_failure_is_told_and_logged_under_the_callers_request_id(busy: Server) -> None:
    answer = busy.invoke('{"raise": "ValueError"}', x_request_id="my-request-1")
    assert answer.json() == {
        "error": {
            "code": "handler_error",
            "message": "predict_fn raised ValueError. The log has the details under this request id.",
            "param": None,
            "retryable": False,
        },
        "request_id": "my-request-1",
    }
    failures = wait_for(lambda: [line for line in busy.log() if line.get("request_id") == "my-request-1"])
    assert failures[0]["message"] == "predict_fn failed"
    assert "inference.py" in failures[0]["traceback"]


def test_healthy_pings_and_payloads_are_not_logged(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    for _ in range(3):
        server.ping()
    server.invoke('{"note": "PAYLOAD-MARK"}')
    server.invoke('{"PAYLOAD-MARK')
    wait_for(lambda: sum(line.get("path") == "/invocations" for line in server.log()) == 2)
    assert "PAYLOAD-MARK" not in server.log_text()
    assert all(line["status"] == 503 for line in server.log() if line.get("path") == "/ping")


def test_of_a_long_path_the_beginning_is_logged(busy: Server) -> None:
    path = "/" + "x" * 60_000
    assert busy.client.get(path).status_code == 404
    (logged,) = wait_for(lambda: [line["path"] for line in busy.log() if line.get("path", "").startswith("/xxx")])
    assert logged == path[:LOGGED_PATH]


def test_the_last_request_is_logged_too(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(BUSY).ready()
    in_work = tmp_path / "in work"
    in_work.touch()
    headers = {"x_request_id": "the-last", "connection": "close"}
    thread = threading.Thread(target=server.invoke, args=(json.dumps({"while": str(in_work)}),), kwargs=headers)
    thread.start()
    wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
    server.process.send_signal(signal.SIGTERM)
    in_work.unlink()
    assert server.exit_code() == 0
    thread.join()
    assert any(line.get("request_id") == "the-last" and line["status"] == 200 for line in server.log())


@pytest.mark.parametrize(
    ("level", "levels", "detail"),
    [
        ("40", {"error"}, "(shown at level DEBUG: it may quote the payload)"),
        ("10", {"debug", "info", "error"}, "the reason"),
    ],
)
def test_the_log_level_is_kept(serve: Callable[..., Server], level: str, levels: set[str], detail: str) -> None:
    server = serve(BUSY, SAGEMAKER_CONTAINER_LOG_LEVEL=level).ready()
    server.invoke('{"raise": "ValueError", "text": "the reason"}')
    failure = wait_for(lambda: [line for line in server.log() if line.get("exception") == "ValueError"])[0]
    assert failure["detail"] == detail
    assert {line["level"] for line in server.log()} <= levels
