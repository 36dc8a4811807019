"""Requests that take longer than they may."""

from __future__ import annotations

from collections.abc import Callable

from handlers import BUSY
from servers import Server, wait_for


def test_a_late_request_is_504_and_its_work_ends(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="0.5").ready()
    late = server.invoke('{"seconds": 20, "polite": true}')
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
    wait_for(lambda: server.invoke("{}").status_code == 200)


def test_a_worker_whose_handler_never_returns_is_replaced(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    stuck = server.workers()[0]
    wait_for(lambda: server.invoke('{"seconds": 600}').status_code == 504)
    wait_for(lambda: server.workers() and stuck not in server.workers())
    server.ready()
    wait_for(lambda: server.invoke("{}").status_code == 200)


def test_a_fast_handler_that_turns_slow_still_times_out(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    for _ in range(5):
        assert server.invoke("{}").status_code == 200
    answer = server.invoke('{"seconds": 8}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    ping = server.ping()
    assert ping is not None
    assert ping.status_code == 200
