"""Answers that are read slowly or not at all: what is held for them is bounded, and nobody else waits for them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import psutil
from handlers import BUSY
from raw_http import post, read_all
from servers import Server, wait_for

MB = 1_000_000
READERS = 36
STREAMS = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data

    def output_fn(prediction, accept):
        return (b"x" * 1_000_000 for _ in range(prediction)), "application/octet-stream"
"""


@contextlib.contextmanager
def _reader(server: Server, request: bytes) -> Iterator[socket.socket]:
    """One with little room of its own, who reads nothing yet."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(request)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        yield connection


def _read(connection: socket.socket) -> bytes:
    """All the rest, fast."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return read_all(connection)


def test_unread_answers_are_bounded_and_the_longest_waiting_goes(serve: Callable[..., Server]) -> None:
    """Room is for the bodies of a queue, 10 MB here, which one answer of 20 MB may take."""
    server = serve(
        BUSY, PIXELSERVE_MAX_BODY_BYTES="1000000", PIXELSERVE_QUEUE_LENGTH="10", PIXELSERVE_SILENCE_SECONDS="600"
    ).ready()
    worker = psutil.Process(server.workers()[0])
    before = worker.memory_info().rss
    large = post(b'{"bytes": 20000000}', extra="accept: application/octet-stream\r\nconnection: close\r\n")
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(READERS):
            held.append(stack.enter_context(_reader(server, large)))
            time.sleep(0.1)
        assert worker.memory_info().rss - before < READERS * 20 * MB / 2
        time.sleep(1)
        held.append(stack.enter_context(_reader(server, large)))
        wait_for(lambda: len(worker.net_connections("tcp")) <= 2)
        assert _read(held[-1]).count(b"x") >= 20 * MB, "the last one is served"
        assert _read(held[0]).count(b"x") < 20 * MB
        assert server.invoke("{}").status_code == 200


def test_answers_that_begin_together_are_bounded_though_none_follows(serve: Callable[..., Server]) -> None:
    server = serve(
        BUSY, PIXELSERVE_MAX_BODY_BYTES="1000000", PIXELSERVE_QUEUE_LENGTH="10", PIXELSERVE_SILENCE_SECONDS="600"
    ).ready()
    worker = psutil.Process(server.workers()[0])
    large = post(b'{"bytes": 9000000}', extra="accept: application/octet-stream\r\nconnection: close\r\n")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(_reader(server, large)) for _ in range(5)]
        wait_for(lambda: len(worker.net_connections("tcp")) <= 1)
        assert [_read(reader).count(b"x") >= 9 * MB for reader in held] == [False] * 4 + [True]


def test_a_large_stream_that_is_not_read_holds_the_handler_up_for_seconds(serve: Callable[..., Server]) -> None:
    server = serve(STREAMS, PIXELSERVE_SILENCE_SECONDS="600").ready()
    with _reader(server, post(b"100")):
        assert server.invoke("1").content == b"x" * MB


def test_a_stream_that_nobody_waits_behind_may_be_read_slowly(serve: Callable[..., Server]) -> None:
    server = serve(STREAMS).ready()
    with _reader(server, post(b"24", extra="connection: close\r\n")) as connection:
        time.sleep(7)
        assert _read(connection).count(b"x") >= 24 * MB
