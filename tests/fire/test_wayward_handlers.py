"""What handlers do that a server has to bear."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from servers import Server

OWN_STATUS = """
    class Busy(Exception):
        status_code = 422
        message = "no face in the image"

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        raise Busy
"""
HEADERS = """
    def model_fn(model_dir):
        return None

    def predict_fn(data, model, context):
        context.answer_attributes = data["attributes"]
        return data

    def output_fn(prediction, accept):
        return "", prediction["media_type"]
"""


def test_a_status_of_the_handlers_own_is_kept(serve: Callable[..., Server]) -> None:
    answer = serve(OWN_STATUS).ready().invoke("{}")
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "no face in the image")


def test_a_model_bound_to_its_thread_is_always_called_there(serve: Callable[..., Server]) -> None:
    server = serve("""
        import sqlite3

        def model_fn(model_dir):
            return sqlite3.connect(":memory:")

        def predict_fn(data, model):
            return model.execute("SELECT 42").fetchone()
    """).ready()
    assert [server.invoke("{}").status_code for _ in range(20)] == [200] * 20


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("answering"), HEADERS)
    yield server.ready()
    server.close()


@pytest.mark.parametrize(
    ("attributes", "media_type"), [("a\r\nx-injected: yes", "text/plain"), ("", "文"), ("x" * 1025, "text/plain")]
)
def test_what_no_header_can_hold_is_the_handlers_error(answering: Server, attributes: str, media_type: str) -> None:
    answer = answering.invoke(json.dumps({"attributes": attributes, "media_type": media_type}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "handler_error")
    assert "visible ASCII" in answer.json()["error"]["message"]
    assert "x-injected" not in answer.headers


VIEWS = """
    import numpy as np

    def model_fn(model_dir):
        return {
            "gaps": memoryview(b"0a1b2c")[1::2],
            "the other byte order": memoryview(np.array([1, 2, 3], ">i2")),
            "columns first": memoryview(np.asfortranarray([[1, 2], [3, 4]], "u1")),
            "nothing": memoryview(np.zeros((0, 3), "u1")),
        }

    def input_fn(body, content_type):
        return body.decode()

    def predict_fn(data, model):
        return model[data]

    def output_fn(prediction, accept):
        return prediction, "application/octet-stream"
"""


def test_a_view_of_what_lies_in_no_row_is_answered_whole(serve: Callable[..., Server]) -> None:
    server = serve(VIEWS).ready()
    for name, expected in (
        ("gaps", b"abc"),
        ("the other byte order", b"\0\1\0\2\0\3"),
        ("columns first", b"\1\2\3\4"),
        ("nothing", b""),
    ):
        answer = server.invoke(name, "text/plain")
        assert (answer.status_code, answer.content) == (200, expected), name


def test_the_longest_attributes_are_answered(answering: Server) -> None:
    answer = answering.invoke(json.dumps({"attributes": "x" * 1024, "media_type": "text/plain"}))
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "x" * 1024
