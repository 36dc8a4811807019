"""An output_fn that returns an iterator: its parts are sent as they are made."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import httpx
import pytest
from raw_http import connected, post
from servers import Server, wait_for

PARTS = """
    import time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data

    def output_fn(prediction, accept):
        return make(prediction), "text/plain"

    def make(wanted):
        for number in range(wanted["parts"]):
            if number == wanted.get("fail"):
                raise ValueError(wanted["text"])
            time.sleep(wanted.get("pause", 0))
            print(f"made {number}", flush=True)
            yield b"x" * wanted.get("size", 1) + b"%d\\n" % number
"""


def test_parts_are_sent_as_they_are_made(serve: Callable[..., Server]) -> None:
    server = serve(PARTS).ready()
    order = {"parts": 4, "pause": 0.5}
    with server.client.stream("POST", "/invocations", json=order) as answer:
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
        assert answer.headers["content-type"] == "text/plain"
        first = next(answer.iter_raw())
        assert first == b"x0\n"
        assert "made 3" not in server.log_text()
    with server.client.stream("POST", "/invocations", json=order) as answer:
        assert b"".join(answer.iter_raw()) == b"x0\nx1\nx2\nx3\n"


def test_a_failure_before_the_first_part_is_a_500(serve: Callable[..., Server]) -> None:
    server = serve(PARTS).ready()
    answer = server.invoke(json.dumps({"parts": 3, "fail": 0, "text": "PAYLOAD-MARK"}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler_error")


def test_a_failure_in_the_middle_is_no_whole_answer(serve: Callable[..., Server]) -> None:
    server = serve(PARTS).ready()
    with pytest.raises(httpx.RemoteProtocolError):
        server.invoke(json.dumps({"parts": 3, "fail": 2, "text": "PAYLOAD-MARK"}))
    wait_for(lambda: "ValueError" in server.log_text())
    assert "PAYLOAD-MARK" not in server.log_text()
    assert "uvicorn" not in server.log_text()
    assert server.invoke(json.dumps({"parts": 2})).text == "x0\nx1\n"


def test_a_reader_that_goes_ends_the_work(serve: Callable[..., Server]) -> None:
    server = serve(PARTS).ready()
    with connected(server, post(json.dumps({"parts": 1000, "pause": 0.05}).encode())) as connection:
        connection.recv(1)
    assert server.invoke(json.dumps({"parts": 1})).text == "x0\n"  # it came to its turn
    assert server.log_text().count("made") < 200


def test_a_slow_reader_holds_a_bounded_amount(serve: Callable[..., Server]) -> None:
    server = serve(PARTS).ready()
    order = json.dumps({"parts": 200, "size": 1_000_000}).encode()
    with connected(server, post(order)) as connection:
        connection.recv(1)
        time.sleep(1.0)
        assert server.log_text().count("made") < 60
        connection.settimeout(30)
        size = 1
        while size < 200_000_000:
            block = connection.recv(1 << 20)
            assert block
            size += len(block)
    assert server.log_text().count("made") == 200


ODD = """
    import time

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return data

    def output_fn(prediction, accept, context):
        if prediction.get("status"):
            context.set_response_status(prediction["status"])
            return {"not": "sent"}
        return make(prediction), "application/octet-stream"

    def make(wanted):
        time.sleep(wanted.get("first", 0))
        print("begun", flush=True)
        buffer = bytearray(4)
        for letter in b"ABCD" * wanted.get("times", 1):
            buffer[:] = bytes([letter]) * 4
            yield memoryview(buffer)
"""


def test_a_handler_may_use_its_buffer_again(serve: Callable[..., Server]) -> None:
    assert serve(ODD).ready().invoke("{}").content == b"AAAABBBBCCCCDDDD"


def test_a_caller_that_goes_before_the_first_part_holds_nobody_up(serve: Callable[..., Server]) -> None:
    server = serve(ODD).ready()
    with connected(server, post(json.dumps({"first": 1, "times": 10_000_000}).encode())):
        time.sleep(0.3)
    wait_for(lambda: "begun" in server.log_text())
    assert server.invoke("{}").content == b"AAAABBBBCCCCDDDD"


def test_a_status_without_a_body_has_none(serve: Callable[..., Server]) -> None:
    server = serve(ODD).ready()
    for _ in range(2):  # the second on the same connection
        answer = server.invoke(json.dumps({"status": 204}))
        assert (answer.status_code, answer.content) == (204, b"")
    assert server.invoke("{}").content == b"AAAABBBBCCCCDDDD"
