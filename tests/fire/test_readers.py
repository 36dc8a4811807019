"""A connection of callers by itself, in a loop whose clock is moved on by hand: who reads in time, and who does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from pixelserve.callers import Connection, Unread

SECONDS = 30.0
RATE = 1_000
TAIL = 40_000
"""Of an answer: too short for a pause of its writer (64 KiB)."""
LARGE = 1_000_000
PIECE = 65_536


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time also moves on by `pass_by`."""

    passed = 0.0

    def time(self) -> float:
        return super().time() + self.passed

    async def pass_by(self, seconds: float) -> None:
        """Until all that was due in the meantime has been done."""
        self.passed += seconds
        await asyncio.sleep(0)
        await asyncio.sleep(0.05)


def _run(talk: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    clock = Clock()
    try:
        clock.run_until_complete(asyncio.wait_for(talk(clock), 10 * SECONDS))
    finally:
        clock.close()


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """As many bytes as the path says, in pieces."""
    size = int(scope["path"][1:])
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, size, PIECE):
        piece = b"x" * min(PIECE, size - start)
        await send({"type": "http.response.body", "body": piece, "more_body": start + PIECE < size})


@contextlib.asynccontextmanager
async def _caller(clock: Clock) -> AsyncIterator[tuple[socket.socket, Connection]]:
    """The caller's end of a connection whose kernel keeps little, and the connection."""
    config = Config(_answer, http="httptools", ws="none", log_config=None, access_log=False, timeout_keep_alive=3600)
    config.load()
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    theirs.setblocking(False)
    with theirs:
        connection = Connection(
            SECONDS, RATE, 10, Unread(1 << 30), config=config, server_state=ServerState(), app_state={}
        )
        await clock.connect_accepted_socket(lambda: connection, ours)
        yield theirs, connection
        connection.transport.abort()
        await asyncio.sleep(0)


async def _ask(clock: Clock, caller: socket.socket, size: int) -> None:
    await clock.sock_sendall(caller, b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % size)
    await asyncio.sleep(0.05)


async def _read(clock: Clock, caller: socket.socket, size: int) -> int:
    """How many bytes of the answers' bodies come, up to `size`."""
    count = 0
    while count < size and (piece := await clock.sock_recv(caller, PIECE)):
        count += piece.count(b"x")
    return count


async def _talk_fast(clock: Clock) -> None:
    """The next answer begins, and waits for its reader, a moment before the end of what the last one was given."""
    async with _caller(clock) as (caller, connection):
        await _ask(clock, caller, TAIL)
        assert connection.transport.get_write_buffer_size() > 0, "the end of the answer waits for its reader"
        assert await _read(clock, caller, TAIL) == TAIL
        await clock.pass_by(0.9 * SECONDS)
        await _ask(clock, caller, LARGE)
        await clock.pass_by(0.2 * SECONDS)
        assert await _read(clock, caller, LARGE) == LARGE


async def _talk_little(clock: Clock) -> None:
    """Answers that each have been taken when their time is over, while the end of the next waits already."""
    async with _caller(clock) as (caller, connection):
        for _ in range(4):
            await _ask(clock, caller, TAIL)
            assert connection.transport.get_write_buffer_size() > 0
            await clock.pass_by(0.6 * SECONDS)
            assert await _read(clock, caller, TAIL) == TAIL


async def _talk_slowly(clock: Clock, size: int) -> None:
    async with _caller(clock) as (caller, connection):
        await _ask(clock, caller, size)
        await clock.pass_by(0.9 * SECONDS)
        assert not connection.transport.is_closing()
        await clock.pass_by(0.2 * SECONDS)
        assert connection.transport.is_closing()


def test_a_fast_reader_is_not_cut_off_by_the_time_of_its_last_answer() -> None:
    _run(_talk_fast)


def test_a_reader_of_small_answers_is_not_cut_off() -> None:
    _run(_talk_little)


@pytest.mark.parametrize("size", [TAIL, LARGE])
def test_who_reads_nothing_is_cut_off(size: int) -> None:
    _run(lambda clock: _talk_slowly(clock, size))
