"""Requests that two servers might read differently, and what no client would send: RFC 9110, 9112 and 6585."""

from __future__ import annotations

import json
import socket

import pytest
from fire_hosts import HOSTS, Host

HANG_SECONDS = 30.0
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: localhost\r\n\r\n"
"""What must never be answered: it is a part of another request's body, or comes after a connection's end."""
H = b"host: localhost\r\n"
J = H + b"content-type: application/json\r\n"
POST = b"POST /invocations HTTP/1.1\r\n"
CHUNKED = POST + J + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET /ping HTTP/1.1\r\n"
OK = (200,)
"""Whatever the host answers to its own request for health, or to an empty object."""
BAD = (400,)

REQUESTS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    # 1 lengths
    "length and chunks": (POST + J + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "chunks and length": (POST + J + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "two lengths": (POST + J + b"content-length: 2\r\ncontent-length: 0\r\n\r\n{}" + HIDDEN, BAD),
    "one length twice": (POST + J + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}" + HIDDEN, BAD),
    "a list of lengths": (POST + J + b"content-length: 2, 2\r\n\r\n{}" + HIDDEN, BAD),
    "a signed length": (POST + J + b"content-length: +2\r\n\r\n{}" + HIDDEN, BAD),
    "a negative length": (POST + J + b"content-length: -2\r\n\r\n{}" + HIDDEN, BAD),
    "a hexadecimal length": (POST + J + b"content-length: 0x2\r\n\r\n{}" + HIDDEN, BAD),
    "a length with a point": (POST + J + b"content-length: 2.0\r\n\r\n{}" + HIDDEN, BAD),
    "a length with an exponent": (POST + J + b"content-length: 2e0\r\n\r\n{}" + HIDDEN, BAD),
    "a length with a separator": (POST + J + b"content-length: 1_0\r\n\r\n{}" + HIDDEN, BAD),
    "an empty length": (POST + J + b"content-length: \r\n\r\n{}" + HIDDEN, BAD),
    "a length that overflows": (POST + J + b"content-length: 18446744073709551618\r\n\r\n{}" + HIDDEN, BAD),
    "a length with blanks inside": (POST + J + b"content-length: 1 1\r\n\r\n{}" + HIDDEN, BAD),
    "a length in quotes": (POST + J + b'content-length: "2"\r\n\r\n{}' + HIDDEN, BAD),
    "a blank before the length's colon": (POST + J + b"content-length : 2\r\n\r\n{}" + HIDDEN, BAD),
    "a tab before the length's colon": (POST + J + b"content-length\t: 2\r\n\r\n{}" + HIDDEN, BAD),
    "a length with blanks around": (POST + J + b"content-length: \t 2 \t \r\nconnection: close\r\n\r\n{}" + HIDDEN, OK),
    "a length with leading zeros": (POST + J + b"content-length: 0002\r\nconnection: close\r\n\r\n{}" + HIDDEN, OK),
    "a length with 5,000 zeros": (
        POST + J + b"content-length: " + b"0" * 5000 + b"2\r\nconnection: close\r\n\r\n{}" + HIDDEN,
        OK,
    ),
    "a length above the limit": (POST + J + b"content-length: 999999999\r\n\r\n{}", (413,)),
    "a body of a GET": (GET + H + b"content-length: 2\r\nconnection: close\r\n\r\n{}" + HIDDEN, OK),
    # 2 transfer encodings
    "an unknown encoding": (POST + J + b"transfer-encoding: zip\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "identity": (POST + J + b"transfer-encoding: identity\r\n\r\n" + HIDDEN, BAD),
    "chunked, identity": (POST + J + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "chunked twice": (POST + J + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "chunked on two lines": (
        POST + J + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        BAD,
    ),
    "xchunked": (POST + J + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "chunked in quotes": (POST + J + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN, BAD),
    "a vertical tab before chunked": (POST + J + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a blank before the encoding's colon": (POST + J + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "chunked after an empty name": (POST + J + b": chunked\r\n\r\n0\r\n\r\n" + HIDDEN, BAD),
    "Chunked in capitals": (
        POST + J + b"transfer-encoding: CHUNKED\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + HIDDEN,
        OK,
    ),
    # 3 chunks
    "no size": (CHUNKED + b"\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "no hexadecimal size": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a negative size": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a signed size": (CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "0x before a size": (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a blank before a size": (CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a blank after a size": (CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a size that overflows": (CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a chunk longer than its size": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a chunk that LF alone ends": (CHUNKED + b"2\r\n{}\n0\r\n\r\n" + HIDDEN, BAD),
    "a size that LF alone ends": (CHUNKED + b"2\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a size that CR alone ends": (CHUNKED + b"2\r{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "an extension with a line end": (CHUNKED + b"2;a=\nb\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "an extension with a zero byte": (CHUNKED + b"2;a=\x00\r\n{}\r\n0\r\n\r\n" + HIDDEN, BAD),
    "a trailer with a blank before its colon": (CHUNKED + b"2\r\n{}\r\n0\r\na : b\r\n\r\n" + HIDDEN, BAD),
    "a folded trailer": (CHUNKED + b"2\r\n{}\r\n0\r\na: b\r\n c\r\n\r\n" + HIDDEN, BAD),
    "a trailer without a colon": (CHUNKED + b"2\r\n{}\r\n0\r\nabc\r\n\r\n" + HIDDEN, BAD),
    # 4 lines
    "a folded header": (GET + H + b"a: b\r\n c\r\n\r\n" + HIDDEN, BAD),
    "a folded first header": (GET + b" a: b\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "lines that LF alone ends": (b"GET /ping HTTP/1.1\nhost: localhost\n\n" + HIDDEN, BAD),
    "a header that LF alone ends": (GET + b"host: localhost\n\r\n" + HIDDEN, BAD),
    "a header that CR alone ends": (GET + b"a: b\rhost: localhost\r\n\r\n" + HIDDEN, BAD),
    "CR in a value": (GET + H + b"a: b\rc\r\n\r\n" + HIDDEN, BAD),
    "a zero byte in a value": (GET + H + b"a: b\x00c\r\n\r\n" + HIDDEN, BAD),
    "a zero byte in a name": (GET + H + b"a\x00: b\r\n\r\n" + HIDDEN, BAD),
    "a zero byte in the target": (b"GET /pi\x00ng HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "a control byte in a value": (GET + H + b"a: b\x01c\r\n\r\n" + HIDDEN, BAD),
    "a header without a colon": (GET + H + b"abc\r\n\r\n" + HIDDEN, BAD),
    "a header without a name": (GET + H + b": b\r\n\r\n" + HIDDEN, BAD),
    "brackets in a name": (GET + H + b"a[b]: c\r\n\r\n" + HIDDEN, BAD),
    "no host": (GET + b"\r\n" + HIDDEN, BAD),
    "two hosts": (GET + H + H + b"\r\n" + HIDDEN, BAD),
    "letters beyond ASCII in a name": (GET + H + b"\xc3\xa4: c\r\n\r\n" + HIDDEN, BAD),
    # 5 versions
    "HTTP/1.0": (b"GET /ping HTTP/1.0\r\n\r\n" + HIDDEN, OK),
    "HTTP/0.9": (b"GET /ping\r\n\r\n" + HIDDEN, BAD),
    "HTTP/2.0 in words": (b"GET /ping HTTP/2.0\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN, BAD),
    "HTTP/1.2": (b"GET /ping HTTP/1.2\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "http in small letters": (b"GET /ping http/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "no version's number": (b"GET /ping HTTP/\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "a version of two digits": (b"GET /ping HTTP/1.10\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "RTSP/1.0, which the parser knows": (b"GET /ping RTSP/1.0\r\n" + H + b"\r\n" + HIDDEN, OK),
    "another protocol": (b"GET /ping GOPHER/1.0\r\n" + H + b"\r\n" + HIDDEN, BAD),
    # 6 methods
    "HEAD": (b"HEAD /ping HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", (405,)),
    "OPTIONS": (b"OPTIONS /ping HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", (405,)),
    "OPTIONS of all": (b"OPTIONS * HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", (400, 404)),
    "TRACE": (b"TRACE /ping HTTP/1.1\r\n" + H + b"cookie: secret\r\nconnection: close\r\n\r\n", (405,)),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, (400, 404, 405)),
    "PUT": (b"PUT /invocations HTTP/1.1\r\n" + J + b"content-length: 2\r\nconnection: close\r\n\r\n{}", (405,)),
    "a method that nobody knows": (b"BREW /ping HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "a method in small letters": (b"get /ping HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "a blank before the method": (b" GET /ping HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    # 7 targets
    "the absolute form": (b"GET http://elsewhere.test/ping HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", OK),
    "a target in percent": (b"GET /%70ing HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", OK),
    "a target with dots": (b"GET /a/../ping HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", (404,)),
    "a target with two slashes": (b"GET //ping HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", (400, 404)),
    "a query": (b"GET /ping?a=b HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", OK),
    "two blanks before the version": (b"GET /ping  HTTP/1.1\r\n" + H + b"connection: close\r\n\r\n", (200, 400)),
    "a tab in the request line": (b"GET\t/ping HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "a target without a slash": (b"GET ping HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    "no target": (b"GET HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, BAD),
    # 8 other protocols
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", BAD),
    "SSH": (b"SSH-2.0-OpenSSH_9.0\r\n\r\n", BAD),
    "a proxy's line": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + GET + H + b"\r\n", BAD),
    # 9 upgrades
    "h2c": (
        POST + J + b"connection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n"
        b"content-length: 2\r\n\r\n{}" + HIDDEN,
        OK,
    ),
    "h2c and chunks": (
        POST + J + b"connection: upgrade, close\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\n\r\n" + HIDDEN,
        OK,
    ),
    "a WebSocket": (
        GET + H + b"connection: Upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + HIDDEN,
        OK,
    ),
    # 10 size
    "many headers": (GET + H + b"a: b\r\n" * 12_000, (431,)),
    "a long target": (b"GET /" + b"x" * 70_000, (431,)),
    "many headers that end": (GET + H + b"a: b\r\n" * 12_000 + b"\r\n" + HIDDEN, (431,)),
    "a long header that ends": (GET + H + b"a: " + b"b" * 200_000 + b"\r\n\r\n" + HIDDEN, (431,)),
    "a long name that ends": (GET + H + b"a" * 70_000 + b": b\r\n\r\n" + HIDDEN, (431,)),
    "a long target that ends": (b"GET /ping?" + b"x" * 70_000 + b" HTTP/1.1\r\n" + H + b"\r\n" + HIDDEN, (431,)),
    "a long head and a body": (
        POST + J + b"a: " + b"b" * 70_000 + b"\r\ncontent-length: 2\r\n\r\n{}" + HIDDEN,
        (431,),
    ),
    "a head of almost 64 KiB": (GET + H + b"a: " + b"b" * 65_000 + b"\r\nconnection: close\r\n\r\n" + HIDDEN, OK),
}


def test_the_table_is_long() -> None:
    assert len(REQUESTS) >= 80


DIFFERENT: dict[tuple[str, str], tuple[int, ...]] = {
    ("lobby", "a length above the limit"): (408,),  # it keeps nothing of a body, however long
    ("runtime", "HEAD"): (404,),
    ("runtime", "OPTIONS"): (404,),
    ("runtime", "TRACE"): (404,),
    ("runtime", "PUT"): (404,),
    ("runtime", "a target with two slashes"): OK,
    ("gateway", "OPTIONS"): (204,),  # a preflight of CORS
    ("gateway", "OPTIONS of all"): (204,),
}
"""Where a host answers with another status than the table has."""


def test_different_hosts_are_in_the_table() -> None:
    assert {name for _, name in DIFFERENT} <= set(REQUESTS)


@pytest.mark.parametrize("host", HOSTS, indirect=True)
@pytest.mark.parametrize("name", REQUESTS)
def test_it_is_read_in_one_way_or_refused(host: Host, name: str) -> None:
    """One answer, of the status that stands there, and the connection ends; nothing hidden is answered."""
    request, statuses = REQUESTS[name]
    received = b""
    with socket.create_connection(("127.0.0.1", host.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(_for(host, request))
        while piece := connection.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    fine = host.posted if request.startswith(b"POST") else host.healthy
    expected = DIFFERENT.get((host.name, name), statuses)
    assert status in expected or (200 in expected and status == fine), received
    assert received.count(b"HTTP/1.1 ") == 1, received
    assert b"connection: close" in head.lower()
    assert b"secret" not in received
    if body and not 200 <= status < 300:
        answer = json.loads(body)
        assert answer["Message"] if "Message" in answer else answer["error"]["code"]


@pytest.mark.parametrize("host", HOSTS, indirect=True)
def test_offers_to_upgrade_in_a_row_are_declined_one_by_one(host: Host) -> None:
    """400 in one piece: more than an interpreter's stack would have frames for. A host may answer the first alone."""
    offer = GET + H + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", host.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(_for(host, offer * 400 + GET + H + b"connection: close\r\n\r\n"))
        while piece := connection.recv(65_536):
            received += piece
    assert 1 <= received.count(b"HTTP/1.1 ") == received.count(b"HTTP/1.1 %d " % host.healthy), received[-500:]
    assert b"connection: close" in received[received.rindex(b"HTTP/1.1 ") :].lower()


def _for(host: Host, request: bytes) -> bytes:
    """With the host's paths in place of a worker's."""
    in_percent = f"/%{ord(host.health[1]):x}{host.health[2:]}"
    request = request.replace(b"/%70ing", in_percent.encode())
    return request.replace(b"/invocations", host.post.encode()).replace(b"/ping", host.health.encode())
