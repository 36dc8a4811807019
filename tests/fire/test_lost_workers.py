"""Workers that die: what they had is answered, what they had not goes on elsewhere."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import httpx
from fire_hosts import Note
from handlers import BUSY
from raw_http import connected, post, read_all
from servers import Server, in_threads, wait_for


def test_a_killed_worker_costs_its_requests_only(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    wait_for(lambda: server.loaded() == 2)
    answers: list[httpx.Response] = []

    def call() -> None:
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
    assert statuses[503] < 6, "what the other worker had was answered"
    lost = next(answer for answer in answers if answer.status_code == 503)
    assert lost.json()["error"]["code"] == "worker_lost"
    assert lost.headers["retry-after"] == "1"
    wait_for(lambda: len(server.workers()) == 2 and victim not in server.workers())
    assert server.ready().invoke("{}").status_code == 200


def test_an_idle_connection_of_a_dead_worker_goes_on_with_another(serve: Callable[..., Server]) -> None:
    server = serve(BUSY, SAGEMAKER_MODEL_SERVER_WORKERS="2").ready()
    wait_for(lambda: server.loaded() == 2)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:

        def pid() -> int:
            connection.request("POST", "/invocations", b"{}", {"content-type": "application/json"})
            return int(json.loads(connection.getresponse().read())["pid"])

        first, held = pid(), connection.sock
        time.sleep(0.1)  # the worker notes that it is idle just after its answer has left
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: first not in server.workers())
        assert pid() != first
        assert connection.sock is held


def test_a_child_of_the_handler_does_not_hide_the_end_of_its_worker(serve: Callable[..., Server]) -> None:
    server = serve("""
        import os, time

        def model_fn(model_dir):
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)

        def predict_fn(data, model):
            return data
    """).ready()
    os.kill(server.workers()[0], signal.SIGKILL)
    wait_for(lambda: server.loaded() == 2)
    assert server.ready().invoke("{}").status_code == 200


def test_a_cut_off_answer_ends_its_connection(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    with connected(server, post(b'{"bytes": 30000000}')) as connection:
        connection.recv(1)
        os.kill(server.workers()[0], signal.SIGKILL)
        assert len(read_all(connection)) < 30_000_000


def test_a_worker_that_dies_before_the_first_byte_of_an_answer_costs_a_503(serve: Callable[..., Server]) -> None:
    answer = serve(DIES_BETWEEN_HEAD_AND_BODY).ready().invoke("{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "worker_lost")


DIES_BETWEEN_HEAD_AND_BODY = """
    import os, signal
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    known = RequestResponseCycle.send

    def model_fn(model_dir):
        RequestResponseCycle.send = send_or_die

    async def send_or_die(cycle, message):
        if message["type"] == "http.response.body":
            os.kill(os.getpid(), signal.SIGKILL)
        await known(cycle, message)

    def predict_fn(data, model):
        return data
"""
"""Head and the first of the body leave together."""


def test_a_worker_killed_under_200_callers_costs_no_answer_but_503(serve: Callable[..., Server], note: Note) -> None:
    """Each sends a picture of its own: no answer is another's, none is lost, and what is refused says when to retry."""
    server = serve(INVERT, SAGEMAKER_MODEL_SERVER_WORKERS="2", PIXELSERVE_QUEUE_LENGTH="256").ready()
    wait_for(lambda: server.loaded() == 2)
    outcomes: Counter[str] = Counter()
    numbers = itertools.count()

    def call() -> None:
        number = next(numbers)
        picture = bytes(number % 251 ^ byte for byte in range(251)) * 40
        expected = bytes(255 - byte for byte in picture)
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            for _ in range(3):
                try:
                    answer = client.post("/invocations", content=picture, headers={"content-type": "image/x-raw"})
                except httpx.TransportError as error:
                    outcomes[type(error).__name__] += 1
                    continue
                if answer.status_code == 200:
                    outcomes["200" if answer.content == expected else "wrong"] += 1
                else:
                    assert answer.json()["error"]["retry_after"] >= 1
                    outcomes[str(answer.status_code)] += 1

    threads = in_threads(200, call)
    for kill in range(2):
        wait_for(lambda kill=kill: outcomes["200"] >= 150 * (kill + 1))
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_for(lambda kill=kill: server.loaded() == kill + 3)
    for thread in threads:
        thread.join()
    lost = sum(count for outcome, count in outcomes.items() if not outcome.isdigit() and outcome != "wrong")
    note("kill", requests=600, right=outcomes["200"], refused=outcomes["503"], wrong=outcomes["wrong"], lost=lost)
    assert sum(outcomes.values()) == 600
    assert set(+outcomes) <= {"200", "503"}
    assert server.ready().invoke(b"1", "image/x-raw").status_code == 200


INVERT = """
    import time

    def model_fn(model_dir):
        return None

    def input_fn(body, content_type):
        return body

    def predict_fn(data, model):
        time.sleep(0.02)
        return bytes(255 - byte for byte in data)

    def output_fn(prediction, accept):
        return prediction, "application/octet-stream"
"""
