"""All connections but one are held by slow callers, of each kind: the one is enough for everybody else.

Those who are silent may hold all of them: who has waited longest makes room.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import httpx
import pytest
from drawing import picture
from fire_hosts import HOSTS, Host, Note, check_answered, timed
from handlers import BUSY
from raw_http import connected, post, read_answers
from servers import Server, wait_for

from pixelserve import machine
from pixelserve.callers import IDLE_SECONDS
from pixelserve.serving.native import acceptor

FILES = 180
LIMITED = ["prlimit", f"--nofile={FILES}"]
SLOTS = FILES // 3
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
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_slot_serves(serve: Callable[..., Server], note: Note, kind: str) -> None:
    server = serve(BUSY, within=LIMITED, PIXELSERVE_DRAIN_SECONDS="1").ready()
    with contextlib.ExitStack() as stack:
        for _ in range(SLOTS - 1):
            stack.enter_context(connected(server, KINDS[kind]))
        check_served(f"{server.url}/ping", f"{server.url}/invocations", b"{}", note, "worker", kind)


def test_the_last_slot_serves_beside_slow_requests(serve: Callable[..., Server], note: Note) -> None:
    """Each is in work for as long as this takes: it waits for a site that never answers."""
    server = serve(within=LIMITED, PIXELSERVE_FETCH_ALLOW_PRIVATE="true", PIXELSERVE_FETCH_TIMEOUT="50").ready()
    png = cv2.imencode(".png", picture(16, 16))[1].tobytes()
    with socket.create_server(("127.0.0.1", 0), backlog=SLOTS) as site, contextlib.ExitStack() as stack:
        body = b'{"url": "http://127.0.0.1:%d/a.png"}' % site.getsockname()[1]
        for _ in range(SLOTS - 1):
            stack.enter_context(connected(server, post(body)))
        metrics = f"{server.url}/metrics"
        held = f"pixelserve_requests_held {SLOTS - 1}.0"
        wait_for(lambda: held in httpx.get(metrics, trust_env=False, headers={"connection": "close"}).text)
        check_served(f"{server.url}/ping", f"{server.url}/invocations", png, note, "worker", "slow requests")


@pytest.mark.parametrize("name", ["front", "runtime"])
def test_the_last_slot_of_a_proxy_serves(tmp_path: Path, note: Note, name: str) -> None:
    """Slow callers of all kinds have the others."""
    with HOSTS[name](tmp_path, {}, LIMITED) as host, contextlib.ExitStack() as stack:
        for kind in itertools.islice(itertools.cycle(KINDS), SLOTS - 1):
            stack.enter_context(connected(host, KINDS[kind].replace(b"/invocations", host.post.encode())))
        url = f"http://127.0.0.1:{host.port}"
        check_served(url + host.health, url + host.post, b"{}", note, name, "callers of all kinds")


def check_served(health: str, path: str, body: bytes, note: Note, host: str, beside: str) -> None:
    """`/ping`, then a small request, each on a connection of its own, are answered soon."""
    kind = "application/json" if body == b"{}" else "image/png"
    with_end = {"connection": "close", "content-type": kind}

    def ask() -> None:
        assert httpx.get(health, headers=with_end, trust_env=False, timeout=60).status_code == 200
        small = httpx.post(path, content=body, headers=with_end, trust_env=False, timeout=60)
        assert small.status_code == 200, small.text

    check_answered([timed(ask) for _ in range(5)], note, host, beside)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *itertools.product(["worker", "front", "gateway"], ["silent", "idle"]),
        *itertools.product(["front", "gateway"], ["half a head"]),
        ("lobby", "silent"),
    ],
)
def test_who_is_silent_makes_room(tmp_path: Path, note: Note, name: str, kind: str) -> None:
    """No slot is free, and the time that a slow caller has is far from over. A lobby's answers end connections."""
    with HOSTS[name](tmp_path, {}, LIMITED) as host, contextlib.ExitStack() as stack:
        held = []
        for _ in range(SLOTS):
            held.append(stack.enter_context(connected(host, KINDS.get(kind, b""))))
            if kind == "idle":
                held[-1].sendall(host.head("content-length: 2") + b"\r\n{}")
                ((status, _),) = read_answers(held[-1], 1)
                assert status == host.posted
        time.sleep(IDLE_SECONDS)

        def ask() -> None:
            assert host.get().status_code == host.healthy
            assert _post_small(host).status_code == host.posted

        check_answered([timed(ask) for _ in range(3)], note, name, f"{kind} callers in every slot")
        ended = select.select(held, [], [], 0)[0]
        assert 1 <= len(ended) <= SLOTS / 2
        assert held[-1] not in ended


@pytest.mark.parametrize("is_there", [False, True], ids=["none waits", "one waits each time"])
def test_after_a_look_that_found_none_there_is_a_pause(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    """All slots but one are held, and callers come and go in that one."""
    monkeypatch.setattr(machine, "raise_file_limit", lambda: 3)
    looks, taken = 0, 0

    async def come_and_go() -> float:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)

        def take(connection: socket.socket, slot: int) -> None:
            nonlocal taken
            taken += 1
            connection.close()
            loop.call_soon(accepting.release, slot)

        def look() -> bool:
            nonlocal looks
            looks += 1
            return is_there

        loop, begun = asyncio.get_running_loop(), time.monotonic()
        accepting = acceptor.Acceptor(listener, take, look)
        for number in range(200):
            with socket.create_connection(listener.getsockname()):
                while taken <= number:
                    await asyncio.sleep(0)
        accepting.close()
        return time.monotonic() - begun

    seconds = asyncio.run(come_and_go())
    if is_there:
        assert looks >= 200
    else:
        assert 1 <= looks <= 1 + seconds / acceptor.LOOK_SECONDS


def _post_small(host: Host) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{host.port}{host.post}", json={}, trust_env=False, timeout=60)


@pytest.fixture
def name_server(tmp_path: Path) -> Path:
    """A file by whose absence it is known that the name server of `.hole` answers at last."""
    (tmp_path / "patched").mkdir()
    hole = tmp_path / "hole"
    hole.touch()
    (tmp_path / "patched" / "sitecustomize.py").write_text(SLOW_NAMES.format(hole=str(hole)))
    return hole


SLOW_NAMES = """
import os, socket, time

known = socket.getaddrinfo

def look_up(host, *rest, **options):
    while str(host).endswith(".hole") and os.path.exists({hole!r}):
        time.sleep(0.5)
    return known(host, *rest, **options)

socket.getaddrinfo = look_up
"""
"""The resolver of the server's processes."""


def fetching(serve: Callable[..., Server], name_server: Path) -> Server:
    """A server that fetches pictures."""
    return serve(
        PIXELSERVE_FETCH_ALLOW_PRIVATE="true",
        PIXELSERVE_FETCH_TIMEOUT="20",
        PIXELSERVE_QUEUE_LENGTH="512",
        PYTHONPATH=str(name_server.with_name("patched")),
    ).ready()


def is_fetched(server: Server) -> bool:
    """Whether a good URL is called, whose file is no picture."""
    answer = server.invoke(f'{{"url": "{server.url}/ping"}}')
    return answer.json()["error"]["code"] in ("unsupported_media_type", "invalid_image")


def holds(server: Server, count: int) -> bool:
    return f"pixelserve_requests_held {count}.0" in server.client.get("/metrics").text


def test_a_name_server_that_never_answers_holds_up_no_good_url(
    serve: Callable[..., Server], name_server: Path, note: Note
) -> None:
    server = fetching(serve, name_server)
    with contextlib.ExitStack() as stack:
        for number in range(40):
            stack.enter_context(connected(server, post(b'{"url": "http://a%d.hole/a.png"}' % number)))
        wait_for(lambda: holds(server, 40))

        def fetch() -> None:
            assert is_fetched(server)

        seconds = [timed(fetch) for _ in range(3)]
        check_answered(seconds, note, "worker", "40 look-ups without an answer")
    wait_for(lambda: holds(server, 0), 15, "callers that have gone")


def test_more_look_ups_than_there_may_be_are_refused_and_told(serve: Callable[..., Server], name_server: Path) -> None:
    """Also where their callers go away at once, as the look-ups themselves cannot be given up."""
    server = fetching(serve, name_server)
    with contextlib.ExitStack() as stack:
        for number in range(300):
            stack.enter_context(connected(server, post(b'{"url": "http://a%d.hole/a.png"}' % number)))
        wait_for(lambda: server.log_text().count('"status": 503') > 40)
    wait_for(lambda: holds(server, 0), 15, "callers that have gone")
    refused = server.invoke(f'{{"url": "{server.url}/ping"}}')
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert refused.json()["error"]["retry_after"] == 5
    assert refused.headers["retry-after"] == "5"
    name_server.unlink()
    wait_for(lambda: is_fetched(server))
