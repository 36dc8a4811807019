"""Several requests at once on one connection: answered one after the other, in their order."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from handlers import BUSY, ECHO
from raw_http import connected, post, read_all, read_answers
from servers import Server, wait_for


def test_answers_come_in_the_order_of_the_requests(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    bodies = [{"environ": "SM_MODEL_DIR", "seconds": 0.3}, {"raise": "ValueError"}, {"environ": "NOTHING"}]
    requests = b"".join(post(json.dumps(body).encode()) for body in bodies)
    with connected(server, requests + b"GET /nothing HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n") as connection:
        answers = read_answers(connection, 4)
    assert [status for status, _ in answers] == [200, 500, 200, 404]
    assert [answers[0][1], answers[2][1]] == [server.model_path, ""]


def test_large_bodies_in_small_pieces(serve: Callable[..., Server]) -> None:
    server = serve(ECHO).ready()
    values = ["x" * 300_000, "y", "z" * 300_000]
    requests = b"".join(post(json.dumps(value).encode()) for value in values)
    with connected(server) as connection:
        for start in range(0, len(requests), 70_000):
            connection.sendall(requests[start : start + 70_000])
        assert read_answers(connection, 3) == [(200, value) for value in values]


def test_a_worker_that_dies_has_answered_what_came_before(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    with connected(server, post(b"{}") + post(b'{"seconds": 600}') + post(b"{}")) as connection:
        ((status, answer),) = read_answers(connection, 1)
        assert status == 200
        wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
        os.kill(answer["pid"], signal.SIGKILL)
        ((status, answer),) = read_answers(connection, 1)
        assert (status, answer["error"]["code"]) == (503, "worker_lost")
        assert read_all(connection) == b""
    wait_for(lambda: server.loaded() == 2)
    assert server.ready().invoke("{}").status_code == 200


def test_a_connection_with_its_requests_answered_moves_on(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    wait_for(lambda: server.loaded() == 2)
    with connected(server, post(b"{}") + post(b"{}")) as connection:
        first = [answer["pid"] for _, answer in read_answers(connection, 2)]
        assert first[0] == first[1]
        time.sleep(0.1)  # the worker notes that it is idle just after its answer has left
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: first[0] not in server.workers())
        connection.sendall(post(b"{}") + post(b"{}"))
        second = [answer["pid"] for _, answer in read_answers(connection, 2)]
    assert second[0] == second[1] != first[0]
