"""HTTP by hand, for what no client would send or wait for."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol


class Listening(Protocol):
    """What has a port of loopback."""

    @property
    def port(self) -> int: ...


@contextlib.contextmanager
def connected(server: Listening, data: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which `data` has been sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(data)
        yield connection


def post(body: bytes, length: int | None = None, extra: str = "") -> bytes:
    """An invocation; `length` is what it claims to be long, `extra` further header lines."""
    head = f"POST /invocations HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{extra}"
    return f"{head}content-length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def after_a_moment(body: bytes) -> dict[str, Any]:
    """What httpx sends as a JSON body that comes whole, a moment after its head."""

    def pieces() -> Iterator[bytes]:
        time.sleep(0.5)
        yield body

    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return {"content": pieces(), "headers": headers}


def request(method: str, path: str, body: Any = None, *lines: str) -> bytes:
    """A request, with `body` as its JSON unless it is None."""
    content = b"" if body is None else json.dumps(body).encode()
    length = [] if body is None else ["content-type: application/json", f"content-length: {len(content)}"]
    head = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *lines, *length, "", ""]
    return "\r\n".join(head).encode() + content


def read_all(connection: socket.socket) -> bytes:
    """Until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 20):
            received += piece
    return received


def read_answers(connection: socket.socket, count: int) -> list[tuple[int, Any]]:
    """The status and JSON of the next `count` answers, fewer when the connection ends before."""
    answers: list[tuple[int, Any]] = []
    with connection.makefile("rb", buffering=0) as file:  # what comes after them stays in the socket
        while len(answers) < count and (first := file.readline()):
            fields = [line.partition(b":") for line in iter(file.readline, b"\r\n")]
            (length,) = [int(value) for name, _, value in fields if name.lower() == b"content-length"]
            body = b""
            while len(body) < length and (piece := file.read(length - len(body))):
                body += piece
            answers.append((int(first.split()[1]), json.loads(body)))
    return answers
