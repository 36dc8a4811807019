"""Each phase of a request x each kind of attack x each host: it ends in time, in memory, and holds nobody else up.

A cell is what is sent, or why there is no such attack; a cell that is missing is an error.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from fire_hosts import HOSTS, Host, Note, check_answered, timed
from raw_http import read_all

PHASES = ("nothing", "head", "body", "chunk extension", "trailers", "after an early answer", "answer", "pipeline")
ATTACKS = ("stops", "drips", "floods")
MOST_MEMORY = 40_000_000
"""Bytes that one connection may cost, a body of the largest size and its copies included."""
MOST_OF_SLOW = 120_000_000
"""Bytes that all slow callers of a host may cost, two of whom have an answer of 30 MB each."""
HANG_SECONDS = 30.0


@dataclass(frozen=True)
class Cell:
    """What is sent first, what again and again after it, and the statuses that may come; 0 is a connection closed."""

    first: Callable[[Host], bytes]
    then: bytes | Callable[[Host], bytes]
    statuses: frozenset[int]
    reads: int = 65_536
    """Bytes that are read at a time, each tenth of a second where they are few; 0: nothing."""


def _cell(
    first: Callable[[Host], bytes], then: bytes | Callable[[Host], bytes], *statuses: int, reads: int = 65_536
) -> Cell:
    return Cell(first, then, frozenset(statuses), reads)


def _chunked(host: Host) -> bytes:
    return host.head("transfer-encoding: chunked") + b"\r\n"


def _early(host: Host) -> bytes:
    return host.head("content-length: 900000", path="/nowhere") + b"\r\n"


def _large(host: Host) -> bytes:
    assert host.large is not None
    return host.large


CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
GRID: dict[tuple[str, str], Cell | str] = {
    ("nothing", "stops"): _cell(lambda host: b"", b"", 0),
    ("nothing", "drips"): _cell(lambda host: b"\r\n", b"\r\n", 0),
    ("nothing", "floods"): _cell(lambda host: b"\r\n", b"\r\n" * 30_000, 0, 431),
    ("head", "stops"): _cell(lambda host: b"POST", b"", 408),
    ("head", "drips"): _cell(lambda host: host.head(), b"a", 408),
    ("head", "floods"): _cell(lambda host: host.head(), b"a: b\r\n" * 10_000, 431),
    ("body", "stops"): _cell(lambda host: host.head("content-length: 900000") + b"\r\n[", b"", 408),
    ("body", "drips"): _cell(lambda host: host.head("content-length: 900000") + b"\r\n[", b" ", 408),
    ("body", "floods"): _cell(_chunked, CHUNK, 413, 503),
    ("chunk extension", "stops"): _cell(lambda host: _chunked(host) + b"1;a=", b"", 408),
    ("chunk extension", "drips"): _cell(lambda host: _chunked(host) + b"1;a=", b"b", 408),
    ("chunk extension", "floods"): _cell(lambda host: _chunked(host) + b"1;a=", b"b" * 60_000, 431),
    ("trailers", "stops"): _cell(lambda host: _chunked(host) + b"1\r\n1\r\n0\r\na: b", b"", 408),
    ("trailers", "drips"): _cell(lambda host: _chunked(host) + b"1\r\n1\r\n0\r\na: b", b"b", 408),
    ("trailers", "floods"): _cell(lambda host: _chunked(host) + b"1\r\n1\r\n0\r\n", b"a: b\r\n" * 10_000, 431),
    ("after an early answer", "stops"): _cell(_early, b"", 404),
    ("after an early answer", "drips"): _cell(_early, b" ", 404),
    ("after an early answer", "floods"): _cell(_early, b" " * 9_000, 404),
    ("answer", "stops"): _cell(_large, b"", 200, reads=0),
    ("answer", "drips"): _cell(_large, b"", 200, reads=1),
    ("answer", "floods"): "there is no reading of an answer in a flood",
    ("pipeline", "stops"): "a caller that stops before its next request is one that sends nothing, or half a head",
    ("pipeline", "drips"): "whole requests that come slowly are what connections are kept for",
    ("pipeline", "floods"): _cell(lambda host: host.pipelined, lambda host: host.pipelined * 1_000, 200, reads=0),
}
EXCEPTIONS = {
    ("lobby", "answer"): "its answers are smaller than what the kernel keeps",
    ("lobby", "pipeline"): "its answers close their connections",
}
"""Where a host has no such phase."""


def _cell_of(host: str, phase: str, attack: str) -> Cell | str:
    """What is sent there, or why nothing is; an empty text for a cell that was forgotten."""
    return EXCEPTIONS.get((host, phase)) or GRID.get((phase, attack), "")


CASES = [case for case in itertools.product(HOSTS, PHASES, ATTACKS) if isinstance(_cell_of(*case), Cell)]


def test_no_cell_of_the_grid_is_empty() -> None:
    reasons = [_cell_of(*case) for case in itertools.product(HOSTS, PHASES, ATTACKS) if case not in CASES]
    assert all(reasons)
    assert len(CASES) + len(reasons) == len(HOSTS) * len(PHASES) * len(ATTACKS)
    assert set(GRID) == set(itertools.product(PHASES, ATTACKS))


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_slow_callers_of_every_phase_end_and_hold_nobody_up(host: Host, note: Note) -> None:
    """All at once."""
    cells = [case for case in CASES if case[0] == host.name and case[2] != "floods"]
    grown, waits = host.watch_memory(), []
    with ThreadPoolExecutor(len(cells)) as callers:
        attacks = {case: callers.submit(_attack, host, GRID[case[1:]]) for case in cells}
        while not all(attack.done() for attack in attacks.values()):
            waits.append(timed(lambda: _check_health(host)))
            time.sleep(0.1)
    most = sum(grown().values())
    note("slow", host=host.name, callers=len(cells), megabytes=most / 1e6)
    check_answered(waits, note, host.name, "all that stop or drip")
    assert most < MOST_OF_SLOW
    for case, attack in attacks.items():
        seconds, received = attack.result()
        note("grid", host=case[0], phase=case[1], attack=case[2], seconds=seconds)
        _check_answer(host, GRID[case[1:]], received, ", ".join(case))


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_floods_of_every_phase_cost_little(host: Host, note: Note) -> None:
    """One after the other, so that the memory of each is known."""
    waits = []
    for case in [case for case in CASES if case[0] == host.name and case[2] == "floods"]:
        grown = host.watch_memory()
        with ThreadPoolExecutor(1) as caller:
            attack = caller.submit(_attack, host, GRID[case[1:]])
            while not attack.done():
                waits.append(timed(lambda: _check_health(host)))
                time.sleep(0.05)
        most = sum(grown().values())
        seconds, received = attack.result()
        note("grid", host=case[0], phase=case[1], attack=case[2], seconds=seconds, megabytes=most / 1e6)
        _check_answer(host, GRID[case[1:]], received, ", ".join(case))
        assert most < MOST_MEMORY, case
    check_answered(waits, note, host.name, "floods")


def _check_health(host: Host) -> None:
    assert host.get().status_code == host.healthy


def _check_answer(host: Host, cell: Cell | str, received: bytes, case: str) -> None:
    assert isinstance(cell, Cell)
    head = received.partition(b"\r\n\r\n")[0].lower()
    status = int(head.split()[1]) if b"\r\n" in head else 0
    assert status in cell.statuses, (case, received[:300])
    if cell.reads < 2:
        assert _count_whole(received) < (cell.first(host) + _again(cell, host)).count(b" HTTP/1.1\r\n"), case
    elif status not in (0, 200):
        assert b"connection: close" in head, (case, head)


def _count_whole(received: bytes) -> int:
    """The answers that are there to their end."""
    count = 0
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        lengths = re.findall(rb"content-length: (\d+)", head.lower())
        if not end or len(rest) < int(lengths[0]):
            break
        received = rest[int(lengths[0]) :]
        count += 1
    return count


def _again(cell: Cell, host: Host) -> bytes:
    return cell.then if isinstance(cell.then, bytes) else cell.then(host)


def _attack(host: Host, cell: Cell | str) -> tuple[float, bytes]:
    """Seconds until the host has ended it, and what it has answered."""
    assert isinstance(cell, Cell)
    then = _again(cell, host)
    began = time.monotonic()
    received = b""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", host.port))
        connection.sendall(cell.first(host))
        connection.settimeout(0.1)
        while not _has_ended(connection, cell):
            assert time.monotonic() - began < HANG_SECONDS, f"{host.name} waits for ever: {received[:200]!r}"
            received += _converse(connection, then, cell.reads)
        if cell.reads < 2:  # what has come is still there
            received += read_all(connection)
    return time.monotonic() - began, received


def _converse(connection: socket.socket, then: bytes, reads: int) -> bytes:
    """Sends once more, and reads so many bytes, which are returned."""
    with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
        if len(then) < 100:
            time.sleep(0.1)
        if then:
            connection.send(then)
    if reads:
        with contextlib.suppress(TimeoutError, BlockingIOError, ConnectionResetError):
            if select.select([connection], [], [], 0)[0]:
                return connection.recv(reads)
    return b""


def _has_ended(connection: socket.socket, cell: Cell) -> bool:
    """Whether the other side has cut or closed the connection, also where answers are still on their way."""
    poll = select.poll()
    poll.register(connection, select.POLLERR | select.POLLHUP | select.POLLRDHUP)
    return bool(poll.poll(0)) and (cell.reads < 2 or _drained(connection))


def _drained(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
