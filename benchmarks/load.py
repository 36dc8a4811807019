"""A closed-loop HTTP/1.1 load generator on keep-alive connections, cheap enough not to hide the server behind it.

Runs in a process of its own (`measure`), each connection sending its next request when the last answer is complete.
Only loopback addresses are loaded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import uvloop


@dataclass(frozen=True)
class Request:
    """One request, sent over and over; `headers` are further ones."""

    port: int
    path: str
    body: bytes
    content_type: str
    accept: str = "*/*"
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"

    def encode(self) -> bytes:
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: {self.content_type}\r\n"
            f"Accept: {self.accept}\r\nContent-Length: {len(self.body)}\r\n"
        )
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (head + more + "\r\n").encode() + self.body


@dataclass(frozen=True)
class Load:
    """What was seen: seconds of each request after the warm-up, the wall time they took, and failures by status."""

    seconds: list[float]
    wall: float
    failures: dict[int, int]
    answer_bytes: int

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.wall


class _Caller(asyncio.Protocol):
    def __init__(self, payload: bytes, deadline: float, seconds: list[float], failures: dict[int, int]) -> None:
        self.payload, self.deadline, self.seconds, self.failures = payload, deadline, seconds, failures
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = bytearray()
        self.missing = -1
        self.answer_bytes = 0
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(self.payload)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if self.missing < 0:
            self.buffer += data
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).lower()
            self.status = int(head[9:12])
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            self.answer_bytes = length
            self.missing = length - (len(self.buffer) - end - 4)
            self.buffer.clear()
        else:
            self.missing -= len(data)
        if self.missing == 0:
            now = time.perf_counter()
            self.missing = -1
            if self.status == 200:
                self.seconds.append(now - self.started)
            else:
                self.failures[self.status] = self.failures.get(self.status, 0) + 1
            if now >= self.deadline:
                self.ended = True
                self.transport.close()
            else:
                self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or not self.ended:
            self.failures[0] = self.failures.get(0, 0) + 1
        if not self.done.done():
            self.done.set_result(None)


async def _run(request: Request, concurrency: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    failures: dict[int, int] = {}
    started = time.perf_counter()
    callers = []
    for _ in range(concurrency):
        _, caller = await loop.create_connection(
            lambda: _Caller(request.encode(), started + seconds, taken, failures), request.host, request.port
        )
        callers.append(caller)
    await asyncio.gather(*(caller.done for caller in callers))
    return Load(taken, time.perf_counter() - started, failures, callers[0].answer_bytes)


def _child(
    queue: multiprocessing.SimpleQueue[Load], request: Request, concurrency: int, warm: float, sec: float
) -> None:
    if warm:
        uvloop.run(_run(request, concurrency, warm))
    queue.put(uvloop.run(_run(request, concurrency, sec)))


def measure(request: Request, concurrency: int, seconds: float, warm_up: float = 0.5) -> Load:
    """Loads `request` with `concurrency` connections for `seconds`, after `warm_up` seconds that do not count.

    Raises ValueError for an address that is not loopback.
    """
    if not ipaddress.ip_address(request.host).is_loopback:
        raise ValueError(f"Only loopback addresses are loaded, not {request.host}.")
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_child, args=(queue, request, concurrency, warm_up, seconds))
    process.start()
    load: Load = queue.get()
    process.join()
    return load
