"""A handler runs as in a program of its own: one request after another, on the main thread; /ping answers meanwhile."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from servers import Server, wait_for

GLOBALS = """
    import json, time

    SIZE = None

    def model_fn(model_dir):
        return None

    def input_fn(body, content_type):
        global SIZE
        SIZE = json.loads(body)["size"]
        return SIZE

    def predict_fn(data, model):
        time.sleep(0.01)
        return data

    def output_fn(prediction, accept):
        return json.dumps([prediction, SIZE])
"""
PROGRAM = """
    import asyncio, os, signal, sqlite3, threading

    HEARD = []

    def model_fn(model_dir):
        signal.signal(signal.SIGUSR1, lambda *_: HEARD.append("usr1"))
        signal.signal(signal.SIGTERM, lambda *_: HEARD.append("term"))
        database = sqlite3.connect(":memory:")
        database.execute("create table seen (value)")
        return database

    def predict_fn(data, model):
        if data == "signal":
            os.kill(os.getpid(), signal.SIGUSR1)
            return HEARD
        model.execute("insert into seen values (?)", (str(data),))
        return {
            "rows": model.execute("select count(*) from seen").fetchone()[0],
            "loop": asyncio.run(asyncio.sleep(0, "ran")),
            "main": threading.current_thread() is threading.main_thread(),
        }
"""
SLEEPS = """
    import os, sys, time

    class Odd(Exception):
        @property
        def status_code(self):
            raise ValueError("of the exception itself")
        __str__ = status_code.fget

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        if data == "fork":
            if os.fork() == 0:
                sys.exit(0)
            return "parent"
        if data == "odd":
            raise Odd
        time.sleep(float(data))
        return float(data)
"""
HOLDS_THE_LOCK = """
    import re

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return bool(re.match(r"(a|aa)+$", "a" * int(data) + "b"))
"""
SLEEPS_WITH_THE_LOCK = """
    import ctypes

    def model_fn(model_dir):
        return ctypes.PyDLL(None).usleep  # a PyDLL keeps the lock

    def predict_fn(data, model):
        return model(int(1_000_000 * data))
"""
LOCKS_UP = """
    import threading

    def model_fn(model_dir):
        return threading.Lock()

    def predict_fn(data, model):
        if data == "lock up":
            model.acquire()
            model.acquire()
        return data
"""


def test_a_global_is_its_requests_own(serve: Callable[..., Server]) -> None:
    server = serve(GLOBALS).ready()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda size: server.invoke(json.dumps({"size": size})).json(), range(60)))
    assert answers == [[size, size] for size in range(60)]


def test_signals_loops_and_connections_work_as_in_a_program(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM).ready()
    assert server.invoke('"a"').json() == {"rows": 1, "loop": "ran", "main": True}
    with ThreadPoolExecutor(8) as pool:
        rows = sorted(answer.json()["rows"] for answer in pool.map(lambda _: server.invoke('"b"'), range(16)))
    assert rows == list(range(2, 18))
    assert server.invoke('"signal"').json() == ["usr1"]


def test_a_handlers_own_handler_of_sigterm_does_not_break_draining(serve: Callable[..., Server]) -> None:
    server = serve(PROGRAM).ready()
    os.kill(server.workers()[0], signal.SIGTERM)
    assert server.invoke('"a"').status_code == 200
    assert server.terminate() == 0
    assert server.log()[-1]["message"] == "ended, nothing lost"


def test_ping_is_answered_while_the_handler_holds_the_interpreters_lock(serve: Callable[..., Server]) -> None:
    server = serve(HOLDS_THE_LOCK).ready()
    assert server.invoke("3").json() is False
    with httpx.Client(base_url=server.url, timeout=2.0, trust_env=False) as kept:
        assert kept.post("/invocations", json=3).status_code == 200
        time.sleep(0.3)  # its connection is idle by now
        caller = threading.Thread(target=lambda: server.invoke("36"))  # some seconds
        caller.start()
        time.sleep(0.3)
        for _ in range(5):
            assert server.ping() is not None
            assert kept.get("/ping").json() == {"status": "ready"}
        assert caller.is_alive(), "the handler was done before /ping was asked"
    caller.join()


def test_an_empty_line_after_an_answer_keeps_no_connection_from_ping(serve: Callable[..., Server]) -> None:
    server = serve(HOLDS_THE_LOCK).ready()
    host, port = httpx.URL(server.url).host, httpx.URL(server.url).port
    assert port is not None
    with socket.create_connection((host, port), timeout=2.0) as kept:
        kept.sendall(_post(b"3") + b"\r\n")
        assert kept.recv(65536).endswith(b"false")
        time.sleep(0.3)
        kept.sendall(b"\r\n")  # now to the process that waits for the next request
        time.sleep(0.3)
        caller = threading.Thread(target=lambda: server.invoke("36"))
        caller.start()
        time.sleep(0.3)
        kept.sendall(b"\r\nGET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert kept.recv(65536).endswith(b'{"status":"ready"}')
        assert caller.is_alive(), "the handler was done before /ping was asked"
    caller.join()


def _post(body: bytes) -> bytes:
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return head % len(body) + body


def _connect(server: Server) -> socket.socket:
    url = httpx.URL(server.url)
    assert url.port is not None
    return socket.create_connection((url.host, url.port), timeout=5.0)


def test_an_empty_line_during_a_call_loses_no_answer(serve: Callable[..., Server]) -> None:
    with _connect(serve(SLEEPS).ready()) as kept:
        kept.sendall(_post(b"0.6"))
        time.sleep(0.05)
        kept.sendall(b"\r\n")
        assert kept.recv(65536).endswith(b"0.6")
        kept.sendall(_post(b"0.0"))
        assert kept.recv(65536).endswith(b"0.0")


def test_a_child_that_a_handler_lets_return_answers_nobody(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPS).ready()
    with _connect(server) as kept:
        for _ in range(5):
            kept.sendall(_post(b'"fork"'))
            assert kept.recv(65536).endswith(b'"parent"')
        time.sleep(0.3)
        kept.sendall(_post(b"0"))
        assert kept.recv(65536).endswith(b"0")
    assert server.invoke("0.01").json() == 0.01


def test_an_exception_that_cannot_be_looked_at_is_a_500(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPS).ready()
    first = server.workers()
    answer = server.invoke('"odd"')
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler_error")
    assert server.workers() == first


def test_callers_are_told_in_time_while_the_handler_holds_the_interpreters_lock(serve: Callable[..., Server]) -> None:
    """By the supervisor: 504 to those whose time is over, 503 to those who come then; and the worker goes on later."""
    server = serve(SLEEPS_WITH_THE_LOCK, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="3").ready()
    workers = server.workers()
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.invoke, "7.5")  # longer than the time-out, shorter than three of them
        time.sleep(0.3)
        told = [first.result(), pool.submit(server.invoke, "0").result()]
    assert time.monotonic() - begun < 7.5
    assert [answer.status_code for answer in told] == [504, 503]
    assert [answer.headers["retry-after"] for answer in told] == ["1", "1"]
    assert all(answer.json()["error"]["retryable"] for answer in told)
    assert wait_for(lambda: server.invoke("0").status_code == 200)
    assert server.workers() == workers, "it was replaced before it let the lock go"


@pytest.mark.parametrize(("handler", "stuck"), [(LOCKS_UP, '"lock up"'), (HOLDS_THE_LOCK, "70")])
def test_ping_tells_of_a_handler_that_never_returns(handler: str, stuck: str, serve: Callable[..., Server]) -> None:
    server = serve(handler, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    first = server.workers()
    caller = threading.Thread(target=lambda: server.invoke(stuck))
    caller.start()
    told = wait_for(lambda: (answer := server.ping()) is not None and answer.status_code == 503 and answer)
    assert told.json()["error"]["state"] == "worker_lost"
    caller.join()
    assert server.ready().invoke("1").status_code == 200
    assert server.workers() != first
