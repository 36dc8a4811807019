"""The trace of a request in the server: where it is read from, what is logged and passed on, which spans there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collector import Collector, attributes, collecting
from handlers import ECHO
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from servers import Server, wait_for

TRACE_ID, OTHER_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "1" * 32
TRACEPARENT, OTHER = f"00-{TRACE_ID}-00f067aa0ba902b7-01", f"00-{OTHER_ID}-00f067aa0ba902b7-01"
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
OWN_SPAN = """
    from opentelemetry import trace

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        with trace.get_tracer("mine").start_as_current_span("mine"):
            if data == "fail":
                raise ValueError("secret")
        return data
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def exporting_to(collector: Collector) -> dict[str, str]:
    """Variables of a process that exports nothing before its end, unless it is told to."""
    url = f"http://127.0.0.1:{collector.server_port}"
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "600000"}


def by_name(collector: Collector, trace_id: str) -> dict[str, Span]:
    return {span.name: span for _, span in collector.of_trace(trace_id, 1)}


def test_a_trace_is_read_from_its_header_or_the_custom_attributes(serve: Callable[..., Server]) -> None:
    server = serve(ECHO).ready()
    given = [
        {"traceparent": TRACEPARENT},
        {ATTRIBUTES: f"a=b;traceparent={TRACEPARENT}"},
        {"traceparent": TRACEPARENT, ATTRIBUTES: f"traceparent={OTHER}"},  # the nearest hop's
        {"traceparent": "00-1-2-01"},
    ]
    for headers in given:
        assert server.client.post("/invocations", json=1, headers=headers).json() == 1
    lines = wait_for(lambda: (lines := [line for line in server.log() if "bytes_out" in line])[3:] and lines)
    assert [line.get("traceparent") for line in lines] == [TRACEPARENT] * 3 + [None]


def test_a_handlers_own_spans_lie_below_its_stage_and_no_message_is_recorded(
    serve: Callable[..., Server], collector: Collector
) -> None:
    server = serve(OWN_SPAN, **exporting_to(collector)).ready()
    assert server.client.post("/invocations", json=1, headers={"traceparent": TRACEPARENT}).json() == 1
    assert server.client.post("/invocations", json="fail", headers={"traceparent": OTHER}).status_code == 500
    assert server.terminate() == 0
    spans = by_name(collector, TRACE_ID)
    assert spans["mine"].parent_span_id == spans["predict_fn"].span_id
    assert spans["predict_fn"].parent_span_id == spans["POST /invocations"].span_id
    failed = by_name(collector, OTHER_ID)
    assert attributes(failed["predict_fn"])["error.type"] == "ValueError"
    request = attributes(failed["POST /invocations"])
    assert (request["http.response.status_code"], request["error.type"]) == (500, "handler_error")
    ours = [span for name, span in failed.items() if name != "mine"]
    assert "secret" not in str(ours)


def test_several_models_are_a_hop_more(serve: Callable[..., Server], collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "models" / "a" / "code").mkdir(parents=True)
    variables = {"SAGEMAKER_MULTI_MODEL": "true", "PIXELSERVE_MODELS_DIR": str(tmp_path / "models")}
    server = serve(**variables, **exporting_to(collector)).ready()
    model = {"model_name": "a", "url": str(tmp_path / "models" / "a")}
    (tmp_path / "models" / "a" / "code" / "inference.py").write_text(textwrap.dedent(ECHO))
    assert server.client.post("/models", json=model).is_success
    headers = {ATTRIBUTES: f"traceparent={TRACEPARENT}"}
    assert server.client.post("/models/a/invoke", json=1, headers=headers).json() == 1
    assert server.terminate() == 0
    spans = by_name(collector, TRACE_ID)
    assert spans["POST /models/{name}/invoke"].parent_span_id.hex() == "00f067aa0ba902b7"
    assert spans["POST /invocations"].parent_span_id == spans["POST /models/{name}/invoke"].span_id
    assert spans["predict_fn"].parent_span_id == spans["POST /invocations"].span_id


EVENT = """
import json, sys
from pixelserve.serving.aws_lambda import handler

class Invocation:  # what AWS Lambda gives with an event
    aws_request_id = "1"

    def get_remaining_time_in_millis(self):
        return 60_000

answer = handler(json.loads(sys.argv[1]), Invocation())
print(json.dumps(answer), flush=True)
sys.stdin.readline()
"""


def test_on_lambda_spans_are_sent_before_the_function_is_frozen(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(textwrap.dedent(ECHO))
    event = {"httpMethod": "POST", "path": "/invocations", "body": "1", "headers": {"Traceparent": TRACEPARENT}}
    process = subprocess.Popen(
        [sys.executable, "-c", EVENT, json.dumps(event)],
        env=os.environ
        | exporting_to(collector)
        | {"SAGEMAKER_SUBMIT_DIRECTORY": str(tmp_path), "PYTHONPATH": "container"},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    answer = next(json.loads(line) for line in process.stdout if "statusCode" in line)
    assert answer["statusCode"] == 200
    assert by_name(collector, TRACE_ID).keys() == {"POST /invocations", "input_fn", "predict_fn", "output_fn"}
    process.communicate("\n", timeout=60)
