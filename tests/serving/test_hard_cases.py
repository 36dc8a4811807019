"""What handlers and callers do that servers trip over: over real HTTP, each once."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from drawing import picture
from PIL import Image as Pillow
from servers import Server, wait_for

ECHO = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data
"""

SLEEPER = """
    import time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        time.sleep(data.get("seconds", 0))
        return {}
"""


SLOW_TO_LOAD = """
    import time

    def model_fn(model_dir):
        time.sleep({seconds})

    def predict_fn(data, model):
        return data
"""


@contextlib.contextmanager
def connected(server: Server, data: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(data)
        yield connection


def post(body: bytes, length: int | None = None, extra: str = "") -> bytes:
    head = f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{extra}"
    return f"{head}content-length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def read_all(connection: socket.socket) -> bytes:
    """Until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 20):
            received += piece
    return received


def test_a_fast_handler_that_turns_slow_still_times_out(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER, SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS="1").ready()
    for _ in range(5):
        assert server.invoke("{}").status_code == 200
    answer = server.invoke('{"seconds": 8}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    ping = server.ping()
    assert ping is not None
    assert ping.status_code == 200


def test_a_model_bound_to_its_thread_is_always_called_there(serve: Callable[..., Server]) -> None:
    server = serve("""
        import sqlite3

        def model_fn(model_dir):
            return sqlite3.connect(":memory:")

        def predict_fn(data, model):
            return model.execute("SELECT 42").fetchone()
    """).ready()
    assert [server.invoke("{}").status_code for _ in range(20)] == [200] * 20


def test_a_child_of_the_handler_does_not_hide_the_end_of_its_worker(serve: Callable[..., Server]) -> None:
    server = serve("""
        import os, time

        def model_fn(model_dir):
            if os.fork() == 0:
                time.sleep(15)
                os._exit(0)

        def predict_fn(data, model):
            return data
    """).ready()
    os.kill(server.workers()[0], signal.SIGKILL)
    wait_for(lambda: server.loaded() == 2, 10)
    assert server.ready().invoke("{}").status_code == 200


def test_a_cut_off_answer_ends_its_connection(serve: Callable[..., Server]) -> None:
    server = serve("""
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return b"x" * 30_000_000
    """).ready()
    with connected(server, post(b"{}", extra="accept: application/octet-stream\r\n")) as connection:
        connection.recv(1)
        os.kill(server.workers()[0], signal.SIGKILL)
        assert len(read_all(connection)) < 30_000_000


def test_a_connection_made_while_loading_is_served_once_loaded(serve: Callable[..., Server]) -> None:
    server = serve(SLOW_TO_LOAD.format(seconds=1.5))
    wait_for(server.ping)
    with connected(server) as connection:
        server.ready()
        connection.sendall(post(b"{}", extra="connection: close\r\n"))
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_silent_connections_do_not_hold_up_the_end(serve: Callable[..., Server]) -> None:
    loading = serve(SLOW_TO_LOAD.format(seconds=60))
    wait_for(loading.ping)
    ready = serve(ECHO).ready()
    for server in (loading, ready):
        with connected(server), connected(server, b"POST /invoc"):
            server.ping()
            assert server.terminate(15) == 0


def test_requirements_that_are_being_installed_do_not_hold_up_the_end(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "inference.py").write_text("")
        (tmp_path / "requirements.txt").write_text(f"a @ http://127.0.0.1:{silent.getsockname()[1]}/a.whl\n")
        server = serve(SAGEMAKER_SUBMIT_DIRECTORY=str(tmp_path), PIXELSERVE_INSTALL_REQUIREMENTS="true")
        wait_for(lambda: (answer := server.ping()) and "Installing" in answer.text)
        assert server.terminate(15) == 0


@pytest.mark.parametrize(
    ("attributes", "media_type"), [("a\\r\\nx-injected: yes", "text/plain"), ("", "文"), ("x" * 1025, "text/plain")]
)
def test_what_no_header_can_hold_is_the_handlers_error(
    serve: Callable[..., Server], attributes: str, media_type: str
) -> None:
    server = serve(f"""
        def model_fn(model_dir):
            return None

        def predict_fn(data, model, context):
            context.answer_attributes = "{attributes}"
            return ""

        def output_fn(prediction, accept):
            return prediction, "{media_type}"
    """).ready()
    answer = server.invoke("{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler_error")
    assert "visible ASCII" in answer.json()["error"]["message"]
    assert "x-injected" not in answer.headers


def test_the_last_request_is_logged_too(serve: Callable[..., Server]) -> None:
    server = serve(SLEEPER).ready()
    thread = threading.Thread(
        target=server.invoke, args=('{"seconds": 1}',), kwargs={"x_request_id": "the-last", "connection": "close"}
    )
    thread.start()
    wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
    assert server.terminate() == 0
    thread.join()
    assert any(line.get("request_id") == "the-last" and line["status"] == 200 for line in server.log())


def test_a_head_without_end_is_431_and_garbage_400(serve: Callable[..., Server]) -> None:
    server = serve(ECHO).ready()
    for data, status, code in (
        (b"GET /ping HTTP/1.1\r\n" + b"a: b\r\n" * 12_000, 431, "head_too_large"),
        (b"GET /" + b"x" * 70_000, 431, "head_too_large"),
        (b"\x16\x03\x01 what\r\n\r\n", 400, "bad_request"),
    ):
        with connected(server, data) as connection:
            head, _, body = read_all(connection).partition(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status}".encode())
            assert json.loads(body)["error"]["code"] == code
    large = {f"x-filler-{number}": "x" * 4_000 for number in range(10)}
    assert server.invoke("{}", **large).status_code == 200


def test_callers_that_fall_silent_are_cut_off(serve: Callable[..., Server]) -> None:
    server = serve("""
        from pixelserve.serving.native import connection

        def model_fn(model_dir):
            connection.SILENCE_SECONDS = 1.0

        def predict_fn(data, model):
            return b"x" * 30_000_000
    """).ready()
    unread = post(b"{}", extra="accept: application/octet-stream\r\n")
    with (
        connected(server),
        connected(server, b"POST /invocations HTTP/1.1\r\nhost"),
        connected(server, post(b"{", length=9)),
        connected(server, unread),
    ):
        wait_for(lambda: held_connections(server) == 4)
        wait_for(lambda: held_connections(server) == 0)
    assert server.ready()


def held_connections(server: Server) -> int:
    connections = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in connections)


def test_bodies_that_arrive_at_once_are_bounded(serve: Callable[..., Server]) -> None:
    server = serve(ECHO, PIXELSERVE_QUEUE_LENGTH="2", PIXELSERVE_MAX_BODY_BYTES="1000000").ready()
    half = post(b"[" + b" " * 499_999, length=1_000_000)
    with connected(server, half), connected(server, half):
        wait_for(lambda: server.invoke("{}").status_code == 429)
        answer = server.invoke("{}")
        assert (answer.json()["error"]["code"], answer.headers["retry-after"]) == ("queue_full", "1")
    wait_for(lambda: server.invoke("{}").status_code == 200)


@pytest.mark.parametrize("kind", ["npz", "longer than it is", "no header", "nonsense header"])
def test_what_is_not_npy_is_400(serve: Callable[..., Server], kind: str) -> None:
    buffer = io.BytesIO()
    if kind == "npz":
        np.savez(buffer, a=np.zeros(3))
    elif kind == "longer than it is":
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
    elif kind == "no header":
        buffer.write(b"\x93NUMPY\x01\x00")
    else:
        buffer.write(b"\x93NUMPY\x01\x00\x06\x00{[]:1}")
    server = serve(ECHO).ready()
    answer = server.invoke(buffer.getvalue(), "application/x-npy")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "Traceback" not in server.log_path.read_text()


def test_deep_json_is_400(serve: Callable[..., Server]) -> None:
    assert serve(ECHO).ready().invoke("[" * 100_000).status_code == 400


def test_slow_urls_do_not_hold_up_others(tmp_path: Path) -> None:
    """More of them than the server has decoders, on a site that accepts and never answers."""
    server = Server(
        tmp_path, PIXELSERVE_FETCH_ALLOW_PRIVATE="true", PIXELSERVE_FETCH_TIMEOUT="20", PIXELSERVE_CODEC_THREADS="2"
    ).ready()
    png = io.BytesIO()
    Pillow.fromarray(picture(16, 16)).save(png, "PNG")
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=32) as silent:
            body = json.dumps({"url": f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"}).encode()
            with contextlib.ExitStack() as stack:
                for _ in range(12):
                    stack.enter_context(connected(server, post(body)))
                wait_for(lambda: "pixelserve_requests_held 12.0" in server.client.get("/metrics").text)
                img = base64.b64encode(png.getvalue()).decode()
                assert server.invoke(json.dumps({"img": img})).status_code == 200
                assert "pixelserve_requests_held 12.0" in server.client.get("/metrics").text
    finally:
        server.close()
