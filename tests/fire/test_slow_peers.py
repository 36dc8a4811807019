"""Callers, and sites that pictures are fetched from, that are slow, fall silent or go away."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import select
import socket
import time
from collections.abc import Callable

from drawing import picture
from handlers import BUSY
from PIL import Image as Pillow
from raw_http import connected, post
from servers import Server, wait_for


def test_work_for_a_client_that_hung_up_ends(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    with connected(server, post(b'{"seconds": 600, "polite": true}')):
        wait_for(lambda: "pixelserve_requests_held 1.0" in server.client.get("/metrics").text)
    assert server.invoke("{}").status_code == 200
    wait_for(lambda: any(line.get("status") == 499 for line in server.log()))


def test_a_slow_reader_does_not_hold_others_up(busy: Server) -> None:
    with connected(busy, post(b'{"bytes": 20000000}')) as connection:
        connection.recv(1)
        assert len(busy.invoke('{"bytes": 10}').content) == 10
        received = 1
        deadline = time.monotonic() + 30
        while received < 20_000_000 and time.monotonic() < deadline:
            received += len(connection.recv(1 << 20))
    assert received >= 20_000_000


def test_callers_that_fall_silent_are_cut_off(serve: Callable[..., Server]) -> None:
    server = serve(
        """
        def model_fn(model_dir):
            return None

        def predict_fn(data, model):
            return b"x" * 30_000_000
    """,
        PIXELSERVE_SILENCE_SECONDS="1",
    ).ready()
    unread = post(b"{}", extra="accept: application/octet-stream\r\n")
    with contextlib.ExitStack() as stack:
        for sent in (b"", b"POST /invocations HTTP/1.1\r\nhost", post(b"{", length=9), unread):
            connection = stack.enter_context(connected(server, sent))
            ended = select.poll()
            ended.register(connection, select.POLLRDHUP)
            assert ended.poll(30_000), sent
    assert server.ready()


def test_slow_urls_do_not_hold_up_others(serve: Callable[..., Server]) -> None:
    """More of them than the server has decoders, on a site that accepts and never answers."""
    server = serve(
        PIXELSERVE_FETCH_ALLOW_PRIVATE="true", PIXELSERVE_FETCH_TIMEOUT="20", PIXELSERVE_CODEC_THREADS="2"
    ).ready()
    png = io.BytesIO()
    Pillow.fromarray(picture(16, 16)).save(png, "PNG")
    with socket.create_server(("127.0.0.1", 0), backlog=32) as silent, contextlib.ExitStack() as stack:
        body = json.dumps({"url": f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"}).encode()
        for _ in range(12):
            stack.enter_context(connected(server, post(body)))
        wait_for(lambda: "pixelserve_requests_held 12.0" in server.client.get("/metrics").text)
        img = base64.b64encode(png.getvalue()).decode()
        assert server.invoke(json.dumps({"img": img})).status_code == 200
        assert "pixelserve_requests_held 12.0" in server.client.get("/metrics").text
