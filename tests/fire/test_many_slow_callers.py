"""All connections but one are held by slow callers, of each kind: the one is enough for everybody else.

Those who are silent may hold all of them: who has waited longest makes room.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fire_hosts import HOSTS, Host
from handlers import BUSY
from raw_http import connected, post, read_answers
from servers import Server, wait_for

from pixelserve.callers import IDLE_SECONDS

FILES = 180
LIMITED = ["prlimit", f"--nofile={FILES}"]
SLOTS = FILES // 3
SECONDS = 2.0
"""In which `/ping` and a small request are answered on a quiet machine."""
HEAD = b"POST /invocations HTTP/1.1\r\nhost: localhost\r\n"
KINDS = {
    "silent": b"",
    "one byte": b"P",
    "half a head": HEAD,
    "half a body": post(b"[", length=20_000_000),
    "half a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n9\r\n[",
    "half a trailer": HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n1\r\n0\r\na:",
    "an early answer": b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n1",
    "an answer that nobody reads": post(b'{"bytes": 9000000}', extra="accept: application/octet-stream\r\n"),
    "a slow request": post(b'{"seconds": 0.01}'),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_slot_serves(serve: Callable[..., Server], kind: str) -> None:
    server = serve(BUSY, within=LIMITED, PIXELSERVE_DRAIN_SECONDS="1").ready()
    with contextlib.ExitStack() as stack:
        for _ in range(SLOTS - 1):
            stack.enter_context(connected(server, KINDS[kind]))
        for _ in range(3):
            began = time.monotonic()
            answer = server.ping()
            assert answer is not None
            assert answer.status_code == 200
            small = server.invoke("{}", connection="close")
            assert small.status_code == 200, small.text
            assert time.monotonic() - began < 10 * SECONDS


@pytest.mark.parametrize("name", ["front", "runtime"])
def test_the_last_slot_of_a_proxy_serves(tmp_path: Path, name: str) -> None:
    """Slow callers of all kinds have the others."""
    with HOSTS[name](tmp_path, {}, LIMITED) as host, contextlib.ExitStack() as stack:
        for kind in itertools.islice(itertools.cycle(KINDS), SLOTS - 1):
            stack.enter_context(connected(host, KINDS[kind].replace(b"/invocations", host.post.encode())))
        for _ in range(3):
            began = time.monotonic()
            assert host.get().status_code == 200
            small = _post_small(host)
            assert small.status_code == 200, small.text
            assert time.monotonic() - began < 10 * SECONDS


@pytest.mark.parametrize(
    ("name", "kind"),
    [*itertools.product(["worker", "front", "gateway"], ["silent", "idle"]), ("lobby", "silent")],
)
def test_who_is_silent_makes_room(tmp_path: Path, name: str, kind: str) -> None:
    """No slot is free, and the time that a silent caller has is far from over. A lobby's answers end connections."""
    with HOSTS[name](tmp_path, {}, LIMITED) as host, contextlib.ExitStack() as stack:
        held = []
        for _ in range(SLOTS):
            held.append(stack.enter_context(connected(host)))
            if kind == "idle":
                held[-1].sendall(host.head("content-length: 2") + b"\r\n{}")
                ((status, _),) = read_answers(held[-1], 1)
                assert status == host.posted
        time.sleep(IDLE_SECONDS)
        for _ in range(3):
            began = time.monotonic()
            assert host.get().status_code == host.healthy
            assert _post_small(host).status_code == host.posted
            assert time.monotonic() - began < 10 * SECONDS
        ended = select.select(held, [], [], 0)[0]
        assert 1 <= len(ended) <= SLOTS / 2
        assert held[-1] not in ended


def _post_small(host: Host) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{host.port}{host.post}", json={}, trust_env=False, timeout=60)


def test_a_name_server_that_never_answers_holds_up_no_good_url(serve: Callable[..., Server], tmp_path: Path) -> None:
    """The resolver of the worker's process is one that waits for names of `.hole`, as long as a system's does."""
    (tmp_path / "patched").mkdir()
    (tmp_path / "patched" / "sitecustomize.py").write_text(SLOW_NAMES)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    server = serve(
        PIXELSERVE_FETCH_ALLOW_PRIVATE="true",
        PIXELSERVE_FETCH_TIMEOUT="20",
        PYTHONPATH=str(tmp_path / "patched"),
    ).ready()
    with contextlib.ExitStack() as stack:
        for number in range(40):
            body = b'{"url": "http://a%d.hole/a.png"}' % number
            stack.enter_context(connected(server, post(body)))
        wait_for(lambda: "pixelserve_requests_held 40.0" in server.client.get("/metrics").text)
        began = time.monotonic()
        answer = server.invoke(f'{{"url": "{server.url}/ping"}}')
        assert answer.json()["error"]["code"] in ("unsupported_media_type", "invalid_image"), answer.text
        assert time.monotonic() - began < 10 * SECONDS
    wait_for(lambda: "pixelserve_requests_held 0.0" in server.client.get("/metrics").text, 15, "callers that have gone")


SLOW_NAMES = """
import socket, time

known = socket.getaddrinfo

def look_up(host, *rest, **options):
    if str(host).endswith(".hole"):
        time.sleep(30)
    return known(host, *rest, **options)

socket.getaddrinfo = look_up
"""
