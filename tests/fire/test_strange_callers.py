"""What else strangers send, to every host: each is answered once, it costs little, and the next caller is served."""

from __future__ import annotations

import gzip
import io
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from fire_hosts import HOSTS, Host, Note
from raw_http import connected, read_all, read_answers
from servers import wait_for

HANG_SECONDS = 30.0
MOST_MEMORY = 60_000_000
"""Bytes that one request may cost, of which the body is up to 1 MB."""
AT_ONCE = struct.pack("ii", 1, 0)
"""Of SO_LINGER: the end of the connection is a reset."""


def _posted(body: bytes, *lines: str, kind: str = "application/json") -> Callable[[Host], bytes]:
    def request(host: Host) -> bytes:
        head = f"POST {host.post} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\nconnection: close\r\n"
        head += "".join(f"{line}\r\n" for line in lines) + f"content-length: {len(body)}\r\n\r\n"
        return head.encode("latin-1") + body

    return request


def _asked(*lines: str, query: str = "", path: str = "") -> Callable[[Host], bytes]:
    def request(host: Host) -> bytes:
        target = path or host.health + query
        head = f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        return (head + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode("latin-1")

    return request


def _npy(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + b"x" * 1_000


_NPY = "application/x-npy"
_FORM = "multipart/form-data; boundary=b"
_PART = b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n'
_BOMB = gzip.compress(b"[" + b" " * 200_000_000, 1)
BODIES: dict[str, tuple[Callable[[Host], bytes], int, int]] = {
    "arrays in arrays": (_posted(b"[" * 900_000), 400, 400),
    "objects in objects": (_posted(b'{"a":' * 150_000), 400, 400),
    "a number of 900,000 digits": (_posted(b"1" * 900_000), 400, 400),
    "70,000 keys": (_posted(b"{" + b",".join(b'"%d":0' % number for number in range(70_000)) + b"}"), 200, 400),
    "110,000 values": (_posted(b"[0" + b",0" * 110_000 + b"]"), 500, 400),  # no limit for what is a handler's own
    "the same key twice": (_posted(b'{"seconds": 9, "seconds": 0}'), 200, 400),
    "half a surrogate pair": (_posted(rb'{"img": "\ud800"}'), 400, 400),
    "a byte order mark": (_posted(b"\xef\xbb\xbf{}"), 200, 400),
    "UTF-16": (_posted("{}".encode("utf-16")), 400, 400),
    "no UTF-8": (_posted(b'{"img": "\xff"}'), 400, 400),
    "an odd charset": (_posted(b"{}", kind="application/json; charset=rot13"), 200, 400),
    "NPY of 10^18 bytes": (_posted(_npy((1 << 40, 1 << 20)), kind=_NPY), 400, 400),
    "NPY of objects": (_posted(_npy((2,), "|O"), kind=_NPY), 400, 400),
    "NPY of less than nothing": (_posted(_npy((-1, 5)), kind=_NPY), 400, 400),
    "a gzip bomb": (_posted(_BOMB[:990_000], "content-encoding: gzip"), 400, 400),
    "a gzip bomb in layers": (_posted(gzip.compress(_BOMB), "content-encoding: gzip, gzip"), 400, 400),
    "19,000 parts": (_posted(_PART * 19_000 + b"--b--\r\n", kind=_FORM), 415, 400),
    "a part's endless header": (_posted(b"--b\r\na: " + b"b" * 900_000, kind=_FORM), 415, 400),
    "a boundary of 30,000": (_posted(b"x", kind="multipart/form-data; boundary=" + "b" * 30_000), 415, 400),
    "200,000 fields": (_posted(b"a=b&" * 200_000, kind="application/x-www-form-urlencoded"), 415, 400),
    "10,000 wishes": (_posted(b"{}", "accept: " + "*/*;q=0.1," * 6_000), 200, 400),
    "60 kB of attributes": (_posted(b"{}", "x-amzn-sagemaker-custom-attributes: " + "a=b," * 15_000), 500, 400),
    "a body that is expected to be refused": (_posted(b"{}", "expect: 200-maybe"), 200, 400),
}
"""The request, the status of the handler that takes JSON, and of the gateway."""
HEADS: dict[str, tuple[Callable[[Host], bytes], int]] = {
    "a path of 60,000": (_asked(path="/" + "x" * 60_000), 404),
    "a path of bytes": (_asked(path="/%ff%zz%00"), 404),
    "15,000 queries": (_asked(query="?" + "a=b&" * 15_000), 200),
    "60 kB of cookies": (_asked("cookie: " + "a=b; " * 12_000), 200),
    "bytes beyond ASCII": (_asked("x-a: \xff\xfe", "authorization: \xff", "x-request-id: \xff"), 200),
    "5,000 ranges": (_asked("range: bytes=" + ",".join(f"{2 * at}-{2 * at}" for at in range(5_000))), 200),
    "2,000 proxies": (_asked("x-forwarded-for: " + "1.2.3.4, " * 2_000, "x-forwarded-proto: gopher"), 200),
    "a trace of 60 kB": (_asked("traceparent: 00-" + "f" * 30_000, "tracestate: " + "a=b," * 7_000), 200),
    "a length and nothing": (_asked("content-length: 0", "expect: 100-continue"), 200),
}
DIFFERENT = dict.fromkeys(
    [("runtime", name) for name in ("a boundary of 30,000", "10,000 wishes", "60 kB of attributes")], 400
)
"""Headers that SageMaker Runtime keeps short itself."""


def _expected(host: Host, name: str) -> int:
    if (host.name, name) in DIFFERENT:
        return DIFFERENT[host.name, name]
    if name in HEADS:
        status = HEADS[name][1]
        return host.healthy if status == 200 else status
    _, of_handler, of_gateway = BODIES[name]
    if host.name == "runtime" and of_handler != 200:
        return 424
    return {"lobby": 503, "gateway": of_gateway}.get(host.name, of_handler)


@pytest.mark.parametrize("host", HOSTS, indirect=True)
@pytest.mark.parametrize("name", [*BODIES, *HEADS])
def test_it_is_answered_and_costs_little(host: Host, name: str, note: Note) -> None:
    grown, began = host.watch_memory(), time.monotonic()
    with connected(host, (BODIES | HEADS)[name][0](host)) as connection:
        head, _, _ = read_all(connection).partition(b"\r\n\r\n")
    seconds, most = time.monotonic() - began, sum(grown().values())
    note("strange", host=host.name, request=name, seconds=seconds, megabytes=most / 1e6)
    assert int(head.split()[1]) == _expected(host, name), head
    assert most < MOST_MEMORY
    assert host.get().status_code == host.healthy


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_a_caller_who_has_hung_up_half_is_one_who_has_gone(host: Host) -> None:
    """It gets its answer, whole, or none."""
    for request in (_posted(b"{}")(host), host.head("content-length: 9") + b"\r\n{"):
        with connected(host, request) as connection:
            connection.shutdown(socket.SHUT_WR)
            received = read_all(connection)
        assert not received or int(received.split()[1]) == host.posted
    assert host.get().status_code == host.healthy


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_callers_who_break_off_leave_nothing(host: Host) -> None:
    processes = host.processes()
    held = sum(process.num_fds() for process in processes)
    whole = host.head("content-length: 90000") + b"\r\n" + b" " * 9_000
    for number in range(300):
        with connected(host, whole[: number * 40]) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    assert host.get().status_code == host.healthy
    wait_for(lambda: sum(process.num_fds() for process in processes) <= held + 2)


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_tls_on_a_plain_port_fails_at_once(host: Host) -> None:
    context = ssl.create_default_context()
    with connected(host) as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection, server_hostname="localhost")


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_trailers_in_small_pieces_are_431(host: Host) -> None:
    with connected(host, host.head("transfer-encoding: chunked") + b"\r\n1\r\n1\r\n0\r\n") as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = 0
        while not select.select([connection], [], [], 0)[0]:
            connection.send(b"a: b\r\n")
            sent += 6
            assert sent < 1_000_000
        assert connection.recv(12) == b"HTTP/1.1 431"


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_who_never_sends_what_was_invited_is_408(host: Host) -> None:
    invited = ("expect: 100-continue", "content-length: 9")
    with connected(host, host.head(*invited) + b"\r\n") as connection:
        assert read_all(connection).count(b"HTTP/1.1 408") == 1
    with connected(host, host.head(*invited, path="/nowhere") + b"\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 404"), "nobody invites it"


def _check_order(host: Host, count: int) -> None:
    """Each request has a number, which its answer repeats."""
    requests = b"".join(
        host.head(f"x-amzn-sagemaker-custom-attributes: {number}", "content-length: 2") + b"\r\n{}"
        for number in range(count)
    )
    received = b""
    with connected(host) as connection:
        connection.setblocking(False)
        sent = answered = 0
        while answered < count:
            unsent = [connection] if sent < len(requests) else []
            readable, writable, _ = select.select([connection], unsent, [], HANG_SECONDS)
            assert readable or writable, received[-500:]
            if writable:
                sent += connection.send(requests[sent : sent + 65_536])
            if readable:
                piece = connection.recv(1 << 20)
                assert piece, received[-500:]
                received += piece
                answered = received.count(b"HTTP/1.1 200")
    name = b"x-amzn-sagemaker-custom-attributes: "
    numbers = [int(line[len(name) :]) for line in received.lower().split(b"\r\n") if line.startswith(name)]
    assert numbers == list(range(count))


@pytest.mark.parametrize("host", ["worker", "front", "runtime"], indirect=True)
def test_many_requests_at_once_are_answered_in_order(host: Host) -> None:
    _check_order(host, 200)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("host", ["worker"], indirect=True)
def test_ten_thousand_requests_at_once_are_answered_in_order(host: Host) -> None:
    _check_order(host, 10_000)


@pytest.mark.parametrize("host", ["lobby"], indirect=True)
def test_where_answers_end_connections_there_is_one(host: Host) -> None:
    with connected(host, (host.head("content-length: 2") + b"\r\n{}") * 200) as connection:
        assert [status for status, _ in read_answers(connection, 200)] == [503]


@pytest.mark.parametrize("host", ["gateway"], indirect=True)
def test_the_gateway_answers_many_requests_at_once(host: Host) -> None:
    with connected(host, (host.head("content-length: 2") + b"\r\n{}") * 200) as connection:
        assert [status for status, _ in read_answers(connection, 200)] == [400] * 200
