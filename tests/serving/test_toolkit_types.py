"""What a handler gets and may return is what sagemaker-inference 1.10 under multi-model-server gives and takes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import Called
from servers import Server

from pixelserve.errors import BadRequest, HandlerError, NotAcceptable, PixelserveError, UnsupportedMediaType

LOAD = "def model_fn(model_dir):\n    return 1\n"
ECHO = LOAD + "def predict_fn(data, model):\n    return data\n"
SEEN = LOAD + "def predict_fn(data, model):\n    return [type(data).__name__, str(data.dtype), list(data.shape)]\n"
BODY = LOAD + "def transform_fn(model, body, content_type, accept):\n    return [type(body).__name__, accept]\n"


def result(expression: str) -> str:
    """A handler whose output_fn returns the expression."""
    return f"import numpy as np\n{ECHO}def output_fn(prediction, accept):\n    return {expression}\n"


def prediction(expression: str) -> str:
    """A handler whose predict_fn returns the expression, which the default output_fn writes."""
    return f"import numpy as np\n{LOAD}def predict_fn(data, model):\n    return {expression}\n"


@pytest.mark.parametrize("accept", [{}, {"accept": "*/*"}, {"accept": ""}])
def test_an_absent_accept_is_json_or_what_the_variable_says(
    direct: Callable[..., Called], accept: dict[str, str]
) -> None:
    assert json.loads(direct(BODY).body("1", **accept)) == ["str", "application/json"]
    assert json.loads(direct(BODY, default_accept="text/csv").body("1", **accept)) == ["str", "text/csv"]


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "str"),
        ("text/csv", "str"),
        ("text/plain", "bytearray"),
        ("application/json; charset=utf-8", "bytearray"),
        ("image/png", "bytearray"),
    ],
)
def test_json_and_csv_are_str_other_bodies_a_bytearray(
    direct: Callable[..., Called], content_type: str, expected: str
) -> None:
    assert json.loads(direct(BODY).body("1", content_type))[0] == expected


def test_no_content_type_is_none_and_the_body_as_it_came(serve: Callable[..., Server]) -> None:
    server = serve(BODY.replace("accept]", "content_type]")).ready()
    answers = [server.client.post("/invocations", content=body).json() for body in (b"\xff\xd8", b"text")]
    assert answers == [["bytearray", None], ["bytearray", None]]


def test_a_body_that_is_not_utf8_is_the_callers_mistake(direct: Callable[..., Called]) -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        direct(BODY)(b"\xff")


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", "[[1, 2], [3, 4]]", ["ndarray", "int64", [2, 2]]),
        ("application/json", "[1.5]", ["ndarray", "float64", [1]]),
        ("application/json", '{"a": 1}', ["JsonObject", "object", []]),
        ("text/csv", "1,2,3", ["ndarray", "int64", [3]]),
        ("text/csv", "1.5,2\n3,4\n", ["ndarray", "[('f0', '<f8'), ('f1', '<i8')]", [2]]),
        ("text/csv", "1\n2\n", ["ndarray", "int64", [2]]),
        ("application/jsonlines", "[1, 2]\n[3, 4]\n", ["ndarray", "int64", [2, 2]]),
    ],
)
def test_the_default_input_fn_gives_arrays(
    direct: Callable[..., Called], content_type: str, body: str, expected: list[Any]
) -> None:
    assert json.loads(direct(SEEN).body(body, content_type)) == expected


def test_a_json_object_is_read_as_a_dict_and_as_the_toolkits_array(direct: Callable[..., Called]) -> None:
    source = LOAD + (
        "import numpy as np\n"
        "def predict_fn(data, model):\n"
        "    return [data['a'], data.item()['a'], data.tolist()['a'], data[()]['a'], np.asarray(data).item()['a'],\n"
        "            isinstance(data, dict)]\n"
    )
    assert json.loads(direct(source).body('{"a": 1}')) == [1, 1, 1, 1, 1, True]


def save(write: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arrays, **named)
    return buffer.getvalue()


def test_npz_is_a_sparse_matrix_or_arrays_by_name(direct: Callable[..., Called]) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    called = direct(LOAD + "def predict_fn(data, model):\n    return data.toarray()\n")
    assert json.loads(called.body(save(sparse.save_npz, sparse.csr_matrix([[0, 2]])), "application/x-npz")) == [[0, 2]]
    called = direct(LOAD + "def predict_fn(data, model):\n    return {n: a.tolist() for n, a in data.items()}\n")
    assert json.loads(called.body(save(np.savez, a=[1], b=[2.5]), "application/x-npz")) == {"a": [1], "b": [2.5]}


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04",
        save(np.savez, np.array([{"code": "runs"}], dtype=object)),
        save(np.savez_compressed, np.zeros(20_000_000, np.float64)),
        save(np.savez, format=b"csr", shape=[1, 1], data=[1.0], indices=np.array([2**31 - 1], "i4"), indptr=[0, 1]),
    ],
    ids=["cut off", "pickled", "a bomb", "an index outside the matrix"],
)
def test_a_hostile_npz_is_refused(direct: Callable[..., Called], data: bytes) -> None:
    with pytest.raises(BadRequest, match="not a plain NPZ"):
        direct(ECHO)(data, "application/x-npz")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", "{"),
        ("text/csv", "1,2\n3\n"),
        ("text/csv", " "),
        ("application/x-npy", "x"),
        ("application/json", "[[1], [2, 3]]"),
        ("application/jsonlines", "1\n{\n"),
    ],
)
def test_what_is_not_what_its_type_says_is_400(direct: Callable[..., Called], content_type: str, body: str) -> None:
    with pytest.raises(BadRequest):
        direct(ECHO)(body, content_type)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps(["x" * 1_000_000, *range(10_000)])),
        ("text/csv", "x" * 1_000_000 + "\n1" * 10_000),
    ],
)
def test_a_long_string_among_many_elements_takes_no_memory_for_each(
    direct: Callable[..., Called], content_type: str, body: str
) -> None:
    with pytest.raises(BadRequest, match=r"more than [\d,]+ bytes of memory"):
        direct(ECHO)(body, content_type)


def test_an_unknown_content_type_is_415(direct: Callable[..., Called]) -> None:
    with pytest.raises(UnsupportedMediaType):
        direct(ECHO)("x", "text/html")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (result("{'a': 1}"), b'{\n  "a": 1\n}'),
        (result("[1, 2]"), b"[\n  1,\n  2\n]"),
        (result("[]"), b"[]"),
        (result("7"), b"7"),
        (result("None"), b"null"),
        (result("True"), b"true"),
        (result("np.float32(1.5)"), b"1.5"),
        (result("np.arange(2)"), b"[\n  0,\n  1\n]"),
        (result("float('nan')"), b"null"),
        (result("({'a': 1}, accept)"), b'{\n  "a": 1\n}'),
        (result("'text'"), b"text"),
        (result("b'bytes'"), b"bytes"),
        (result("bytearray(b'bytes')"), b"bytes"),
        (result("[b'one', b'two']"), b"onetwo"),
        (result("('body', accept, 'more', 4)"), b"body"),
        (result("(piece for piece in (b'one', 'two'))"), b"onetwo"),
        (prediction("[1.0, float('inf'), np.nan]"), b"[1.0, null, null]"),
        (prediction("{'scores': np.array([1, 2]), 'best': np.float32(2)}"), b'{"scores": [1, 2], "best": 2.0}'),
        (prediction("None"), b"null"),
    ],
)
def test_what_may_be_returned_is_answered_as_json(direct: Callable[..., Called], source: str, expected: bytes) -> None:
    answer = direct(source)("1")
    assert (answer.status, answer.media_type, b"".join(answer.parts)) == (200, "application/json", expected)


@pytest.mark.parametrize(
    ("expression", "accept", "media_type", "body"),
    [
        ("np.array([1.0, 2.0])", "text/csv", "text/csv", b"1.0\n2.0\n"),
        ("[[1, 2], [3, 4]]", "text/csv", "text/csv", b"1,2\n3,4\n"),
        ("['cat', 'dog']", "text/csv", "text/csv", b"cat\ndog\n"),
        ("[{'a': 1}, {'a': 2}]", "application/jsonlines", "application/jsonlines", b'{"a": 1}\n{"a": 2}\n'),
        ("b'PNG'", "image/png", "image/png", b"PNG"),
        ("b'raw'", "*/*", "application/octet-stream", b"raw"),
        ("np.arange(2)", "text/html, application/json;q=0.5", "application/json", b"[0, 1]"),
    ],
)
def test_the_default_output_fn_writes_by_accept(
    direct: Callable[..., Called], expression: str, accept: str, media_type: str, body: bytes
) -> None:
    answer = direct(prediction(expression))("1", accept=accept)
    assert (answer.media_type, b"".join(answer.parts)) == (media_type, body)


def test_npy_and_npz_are_written(direct: Callable[..., Called]) -> None:
    called = direct(prediction("np.eye(2)"))
    assert np.array_equal(np.load(io.BytesIO(called.body("1", accept="application/x-npy"))), np.eye(2))
    with np.load(io.BytesIO(called.body("1", accept="application/x-npz"))) as file:
        assert np.array_equal(file["arr_0"], np.eye(2))


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-npy"])
def test_a_tensor_with_a_gradient_is_written(direct: Callable[..., Called], accept: str) -> None:
    source = "import torch\n" + prediction("torch.ones(2, requires_grad=True) * 2")
    assert direct(source)("1", accept=accept).size


@pytest.mark.parametrize(
    ("source", "accept", "reason"),
    [
        (prediction("{1, 2}"), "application/json", "predict_fn returned set, .*JSON has no set"),
        (prediction("{'a': 1}"), "text/csv", "predict_fn returned dict, not to be written as text/csv"),
        (prediction("np.array([{}])"), "application/x-npy", "predict_fn returned ndarray"),
        (prediction("b'bytes'"), "application/json", "predict_fn returned bytes"),
        (result("object()"), "application/json", "output_fn returned object, .*JSON has no object"),
        (result("('body',)"), "application/json", "output_fn returned a tuple of 1"),
        (result("(x for x in (1, 2))"), "application/json", "output_fn yielded int"),
        (LOAD + "def transform_fn(m, b, c, a):\n    return {1, 2}\n", "application/json", "transform_fn returned set"),
    ],
)
def test_what_cannot_be_written_is_told(direct: Callable[..., Called], source: str, accept: str, reason: str) -> None:
    with pytest.raises(HandlerError, match=reason):
        direct(source)("1", accept=accept)


def test_an_empty_body_reaches_a_function_of_ones_own(direct: Callable[..., Called]) -> None:
    assert direct(LOAD + "def transform_fn(m, body, c, a):\n    return repr(body)\n").body("") == b"''"
    own = ECHO + "def input_fn(body, content_type):\n    return [body == '']\n"
    assert direct(own).body("") == b"[true]"
    with pytest.raises(BadRequest, match="empty"):
        direct(ECHO)("")


def test_errors_name_what_the_author_wrote_and_keep_their_status(direct: Callable[..., Called]) -> None:
    with pytest.raises(HandlerError, match="transform_fn raised KeyError"):
        direct(LOAD + "def transform_fn(m, b, c, a):\n    raise KeyError('x')\n")("1")
    own = "class Busy(Exception):\n    status_code = 503\n    message = 'busy'\n"
    with pytest.raises(PixelserveError, match="busy") as raised:
        direct(own + LOAD + "def predict_fn(d, m):\n    raise Busy\n")("1")
    assert raised.value.status == 503


def test_the_toolkits_own_errors_are_understood(direct: Callable[..., Called]) -> None:
    pytest.importorskip("sagemaker_inference.errors")
    source = (
        "from sagemaker_inference import decoder, encoder, errors\n" + LOAD + "def input_fn(body, content_type):\n"
        "    return decoder.decode(body, content_type)\n"
        "def predict_fn(data, model):\n"
        "    if data == 0:\n"
        "        raise errors.GenericInferenceToolkitError(422, 'zero is not taken')\n"
        "    return data\n"
        "def output_fn(prediction, accept):\n"
        "    return encoder.encode(prediction, accept)\n"
    )
    called = direct(source)
    assert called.body("7") == b"7"
    with pytest.raises(PixelserveError, match="zero is not taken") as raised:
        called("0")
    assert raised.value.status == 422
    with pytest.raises(UnsupportedMediaType, match="text/html is not supported"):
        called("1", "text/html")
    with pytest.raises(NotAcceptable, match="text/html is not supported"):
        called("1", accept="text/html")


def test_a_pipelined_handler_gets_bytes_and_accept_as_it_was_sent(direct: Callable[..., Called]) -> None:
    assert json.loads(direct("PIPELINE = True\n" + BODY).body("1")) == ["bytes", "*/*"]


def test_the_native_server_gives_the_same(serve: Callable[..., Server]) -> None:
    server = serve(BODY).ready()
    answer = server.invoke("1")
    assert (answer.json(), answer.headers["content-type"]) == (["str", "application/json"], "application/json")
    assert server.invoke("", accept="*/*").json() == ["str", "application/json"]
    assert server.invoke("1", "text/plain", accept="text/csv").json() == ["bytearray", "text/csv"]
    stream = serve(result("(b'piece %d;' % number for number in range(3))")).ready()
    assert stream.invoke("1").text == "piece 0;piece 1;piece 2;"


def test_a_handler_needs_neither_the_toolkit_nor_torch(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(ECHO)
    script = (
        "import sys; from pixelserve.serving.direct import Direct; from pixelserve.settings import Settings\n"
        "from pixelserve.serving.context import Context\n"
        f"called = Direct.load(Settings(submit_directory={str(tmp_path)!r}, model_dir={str(tmp_path)!r}))\n"
        "called.answer(b'[1]', Context.from_headers({'content-type': 'application/json'}, 'a', 60))\n"
        "assert not {'torch', 'sagemaker_inference', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_lambda_agrees_on_accept(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(BODY)
    script = (
        "from pixelserve.serving import aws_lambda\n"
        "class Lambda: aws_request_id = 'a'; get_remaining_time_in_millis = lambda self: 60_000\n"
        "event = {'httpMethod': 'POST', 'path': '/invocations', 'body': '1', 'headers': {}}\n"
        "print(aws_lambda.handler([1], Lambda()), aws_lambda.handler(event, Lambda())['headers']['content-type'])\n"
    )
    environ = {
        "SAGEMAKER_SUBMIT_DIRECTORY": str(tmp_path),
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/x-own",
        "SM_MODEL_DIR": str(tmp_path),
    }
    ran = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.splitlines()[-1] == "['str', 'application/x-own'] application/x-own"
