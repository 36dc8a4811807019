"""Heads and bodies that no server should trust."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import select
from collections.abc import Callable, Iterable
from unittest.mock import AsyncMock

import numpy as np
import pytest
from handlers import ECHO
from raw_http import after_a_moment, connected, post, read_all, read_answers
from servers import Server, wait_for

from pixelserve.callers import Arrivals
from pixelserve.callers.arrivals import Arriving
from pixelserve.errors import Unavailable


def test_a_head_without_end_is_431_and_garbage_400(echo: Server) -> None:
    for data, status, code in (
        (b"GET /ping HTTP/1.1\r\n" + b"a: b\r\n" * 12_000, 431, "head_too_large"),
        (b"GET /" + b"x" * 70_000, 431, "head_too_large"),
        (b"\x16\x03\x01 what\r\n\r\n", 400, "bad_request"),
    ):
        with connected(echo, data) as connection:
            head, _, body = read_all(connection).partition(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status}".encode())
            assert json.loads(body)["error"]["code"] == code
    large = {f"x-filler-{number}": "x" * 4_000 for number in range(10)}
    assert echo.invoke("{}", **large).status_code == 200


def test_a_wrong_method(echo: Server) -> None:
    wrong = echo.client.get("/invocations")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (405, "/invocations takes POST, not GET.")


def test_the_limit_of_a_body_with_and_without_length(serve: Callable[..., Server]) -> None:
    server = serve(ECHO, PIXELSERVE_MAX_BODY_BYTES="1000").ready()
    bodies: list[bytes | Iterable[bytes]] = [b"x" * 2_000, (b"x" * 500 for _ in range(4))]
    for body in bodies:
        answer = server.client.post("/invocations", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert server.invoke("{}").status_code == 200


def test_bodies_that_arrive_at_once_are_bounded(serve: Callable[..., Server]) -> None:
    """By what has arrived, not by what is declared; the slowest goes."""
    server = serve(ECHO, PIXELSERVE_QUEUE_LENGTH="2", PIXELSERVE_MAX_BODY_BYTES="1000000").ready()
    most = post(b"[" + b" " * 899_999, length=1_000_000)
    with connected(server, most) as first, connected(server, most) as second:
        assert server.invoke("{}").status_code == 200
        with connected(server, most) as third:
            (refused,) = wait_for(lambda: select.select([first, second, third], [], [], 0)[0])
            ((status, answer),) = read_answers(refused, 1)
            assert (status, answer["error"]["code"], answer["error"]["retry_after"]) == (429, "queue_full", 1)
            assert server.invoke("{}").status_code == 200


def test_callers_who_stop_in_a_full_room_make_room(serve: Callable[..., Server]) -> None:
    """64 bodies of the limit less a byte, sent fast, fill it but for 64 bytes: no whole body is refused for them."""
    server = serve(ECHO, PIXELSERVE_QUEUE_LENGTH="64", PIXELSERVE_MAX_BODY_BYTES="1000000").ready()
    stopped = post(b"[" + b" " * 999_998, length=1_000_000)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(server, stopped)) for _ in range(64)]

        def ask_small() -> None:
            answer = server.client.post("/invocations", **after_a_moment(b"[" + b" " * 500 + b"]"))
            assert answer.status_code == 200

        def is_one_refused() -> bool:
            ask_small()
            return bool(select.select(held, [], [], 0)[0])

        wait_for(is_one_refused)
        for _ in range(3):
            ask_small()
        (refused,) = select.select(held, [], [], 0)[0]
        ((status, answer),) = read_answers(refused, 1)
        assert (status, answer["error"]["code"]) == (429, "queue_full")


def test_those_who_hold_a_byte_stay_in_a_full_room(serve: Callable[..., Server]) -> None:
    """They have stopped for longest, and nothing would be won by refusing them."""
    server = serve(ECHO, PIXELSERVE_QUEUE_LENGTH="2", PIXELSERVE_MAX_BODY_BYTES="1000000").ready()
    with contextlib.ExitStack() as stack:
        small = [stack.enter_context(connected(server, post(b"[", length=1_000_000))) for _ in range(50)]
        assert server.invoke("{}").status_code == 200
        large = [
            stack.enter_context(connected(server, post(b"[" + b" " * 899_999, length=1_000_000))) for _ in range(3)
        ]
        (refused,) = wait_for(lambda: select.select(large, [], [], 0)[0])
        ((status, _),) = read_answers(refused, 1)
        assert status == 429
        assert server.invoke(b"[" + b" " * 500_000 + b"]").status_code == 200
        assert select.select(small, [], [], 0)[0] == []


def test_who_grows_is_refused_where_the_others_hold_too_little() -> None:
    """Whole bodies have the room but for 100 bytes, and 50 callers one byte each."""

    async def fill() -> tuple[list[Arriving], Arriving]:
        arrivals = Arrivals(60.0, 1, 1_000, 1_000, Unavailable)
        with contextlib.ExitStack() as stack:

            async def hold(body: bytes, is_whole: bool) -> Arriving:
                message = {"type": "http.request", "body": body, "more_body": not is_whole}
                arriving = stack.enter_context(arrivals.hold(AsyncMock(return_value=message)))
                with contextlib.suppress(Unavailable):
                    await arriving.receive()
                return arriving

            await hold(b"x" * 900, True)
            small = [await hold(b"x", False) for _ in range(50)]
            return small, await hold(b"x" * 200, True)

    small, large = asyncio.run(fill())
    assert large.refusal is not None
    assert [body.refusal for body in small] == [None] * 50


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


def _longer_than_it_is() -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
    return file.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(_npz(), id="npz"),
        pytest.param(_longer_than_it_is(), id="longer than it is"),
        pytest.param(b"\x93NUMPY\x01\x00", id="no header"),
        pytest.param(b"\x93NUMPY\x01\x00\x06\x00{[]:1}", id="nonsense header"),
        pytest.param(b"not npy", id="no npy"),
    ],
)
def test_what_is_not_npy_is_400(echo: Server, body: bytes) -> None:
    answer = echo.invoke(body, "application/x-npy")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "Traceback" not in echo.log_text()


def test_half_a_surrogate_pair_is_400(echo: Server) -> None:
    for half in (r'{"a": "\ud800"}', r'["\uDC00\ud800"]', r'{"\udfff": 1}'):
        assert echo.invoke(half).status_code == 400, half
    assert echo.invoke(r'{"a": "\ud83d\ude00"}').json() == {"a": "😀"}


def test_a_web_page_may_not_call_the_port_of_an_endpoint(echo: Server) -> None:
    for headers in ({"origin": "http://evil.test"}, {"sec-fetch-site": "cross-site"}, {"host": "rebound.test"}):
        answer = echo.client.post("/invocations", content="{}", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert echo.invoke("{}", origin=echo.url).status_code == 200


def test_deep_json_is_400(echo: Server) -> None:
    assert echo.invoke("[" * 100_000).status_code == 400
