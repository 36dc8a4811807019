"""The context has what multi-model-server's has, beside our own; functions that take one parameter more get it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from called import Called
from servers import Server

from pixelserve.errors import HandlerError

HEADERS = """
    import json

    def model_fn(model_dir, context):
        return dict(context.system_properties)

    def predict_fn(data, model, context):
        every = context.get_all_request_header(0)
        return {
            "exact": context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes"),
            "lower": context.get_request_header(0, "x-amzn-sagemaker-custom-attributes"),
            "absent": context.get_request_header(0, "X-None"),
            "all": [every["Content-Type"], every.get("content-type"), "CONTENT-TYPE" in every, bool(json.dumps(every))],
            "processor": context.request_processor[0].get_request_property("Content-Type"),
            "inference": context.inference_id,
            "id": context.get_request_id(0) == context.request_id == context.request_ids[0],
            "gpu": model["gpu_id"],
            "dir": model["model_dir"],
        }
"""

ANSWER = """
    def model_fn(model_dir):
        return 1

    def predict_fn(data, model, context):
        context.set_response_status(code=422, phrase="not taken")
        context.set_response_header(0, "X-Model-Version", "7")
        context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "trace=1")
        context.set_response_header(0, "Content-Length", "1")
        context.set_response_content_type(0, "text/x-own")
        context.metrics.add_counter("rows", 3)
        context.metrics.add_time("inner", 0.5)
        return {"why": "not taken", "status": context.get_response_status(0)[0]}

    def output_fn(prediction, accept):
        return prediction
"""

KEPT = """
    def model_fn(model_dir, context):
        context.classes = ["cat", "dog"]
        context.calls = 0
        return 1

    def predict_fn(data, model, context):
        context.calls += 1
        return [context.classes[0], context.calls]
"""


def test_headers_ids_and_properties(serve: Callable[..., Server]) -> None:
    server = serve(HEADERS).ready()
    Path(server.model_path).mkdir(parents=True)
    seen = server.invoke(
        "1", x_amzn_sagemaker_custom_attributes="trace=1", x_amzn_sagemaker_inference_id="inference-1"
    ).json()
    assert seen == {
        "exact": "trace=1",
        "lower": "trace=1",
        "absent": None,
        "all": ["application/json", "application/json", True, True],
        "processor": "application/json",
        "inference": "inference-1",
        "id": True,
        "gpu": None,
        "dir": server.model_path,
    }


def test_the_same_without_a_server_of_ours(direct: Callable[..., Called], tmp_path: Path) -> None:
    seen = json.loads(direct(HEADERS).body("1", x_amzn_sagemaker_inference_id="inference-1"))
    assert (seen["inference"], seen["exact"], seen["dir"]) == ("inference-1", None, str(tmp_path / "model"))


def test_what_a_handler_sets_is_answered(serve: Callable[..., Server]) -> None:
    server = serve(ANSWER).ready()
    answer = server.invoke("1")
    assert (answer.status_code, answer.json()) == (422, {"why": "not taken", "status": 422})
    assert answer.headers["x-model-version"] == "7"
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"
    assert answer.headers["content-type"] == "application/json"  # as sagemaker-inference, which sets it last
    assert 'pixelserve_requests_total{status="422"} 1.0' in server.client.get("/metrics").text
    assert {line["metric"]: line["value"] for line in server.log() if "metric" in line} == {"rows": 3, "inner": 0.5}


def test_the_next_request_starts_anew(direct: Callable[..., Called]) -> None:
    called = direct(
        ANSWER.replace("context.set_response_status(code=422", "if data: context.set_response_status(code=422")
    )
    assert [called(body).status for body in ("1", "0", "1")] == [422, 200, 422]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("set_response_status(42)", "predict_fn|output_fn set the status 42"),
        ("set_response_header(0, 'a b', 'c')", "set the header 'a b'"),
        ("set_response_header(0, 'a', 'b\\r\\nc: d')", "set the header 'a'"),
    ],
)
def test_what_no_answer_can_hold_is_told(direct: Callable[..., Called], call: str, reason: str) -> None:
    source = f"def model_fn(d):\n    return 1\ndef predict_fn(d, m, context):\n    context.{call}\n"
    with pytest.raises(HandlerError, match=reason):
        direct(source)("1")


def test_values_put_on_the_context_stay(direct: Callable[..., Called]) -> None:
    called = direct(KEPT)
    assert [json.loads(called.body("1")) for _ in range(3)] == [["cat", 1], ["cat", 2], ["cat", 3]]


def test_requests_of_a_pipelined_handler_share_only_what_loading_put_there(direct: Callable[..., Called]) -> None:
    called = direct("PIPELINE = True\n" + KEPT.replace("\n    ", "\n"))
    assert [json.loads(called.body("1")) for _ in range(2)] == [["cat", 1], ["cat", 1]]


@pytest.mark.parametrize(
    "parameters",
    ["data, model, anything", "data, model, ctx=None", "data, model, *rest", "*everything", "data, model, context, /"],
)
def test_one_parameter_more_is_the_context_whatever_its_name(direct: Callable[..., Called], parameters: str) -> None:
    source = (
        "def model_fn(model_dir):\n    return 1\n"
        f"def predict_fn({parameters}):\n"
        "    return next(type(v).__name__ for v in [*locals().values()][::-1] if type(v).__name__ != 'int')\n"
    )
    seen = direct(source).body("1").decode()
    assert seen in ('"Context"', '"tuple"')


@pytest.mark.parametrize("parameters", ["data, model", "data, model, *, threshold=0.5", "data, model, **options"])
def test_no_context_where_none_is_taken(direct: Callable[..., Called], parameters: str) -> None:
    source = f"def model_fn(model_dir):\n    return 1\ndef predict_fn({parameters}):\n    return 'went well'\n"
    assert direct(source).body("1") == b'"went well"'
