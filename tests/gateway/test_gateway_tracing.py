"""One trace from the caller to container, jobs and webhook, over real processes; spans in a receiver of OTLP."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from collector import Collector, attributes, collecting
from gateway_jobs import Receiver, receiving
from gateway_servers import Gateway, gateway_running, png
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from servers import wait_for

from pixelserve.local import Source, running
from pixelserve.observe import NO_TRACE, Trace
from pixelserve.schema import SuperResolutionRequest, parse_attributes
from pixelserve_gateway.jobs import DynamoDBStore

PARENT_ID = "00f067aa0ba902b7"
TRACESTATE = "rojo=00f067aa0ba902b7,scale=4;x"
IMG = base64.b64encode(png(24, 32)).decode()
PLAIN, BATCHED = "plain", "batched"
ENDPOINTS = f"image_similarity={PLAIN},image_super_resolution={BATCHED}"

HELD = """
import json, os, sys, time

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept, context):
    while os.path.exists({hold!r}):
        context.check()
        time.sleep(0.01)
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "opentelemetry")
    return json.dumps({{"result": [context.trace.headers(), loaded]}}), "application/json"
"""
"""Answers when a file is gone: the trace that it would pass on, and what of OpenTelemetry is loaded."""
IN_BATCHES = """
PIPELINE = True

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body

def predict_batch_fn(items, model):
    return items

def output_fn(prediction, accept):
    return b"\\x89PNG", "image/png"
"""
STAGES_OF_PLAIN = {"queue", "input_fn", "predict_fn", "output_fn"}


class Given(dict[str, str]):
    """The headers of a trace that nobody else has."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        super().__init__(traceparent=f"00-{self.id}-{PARENT_ID}-01", tracestate=TRACESTATE)


@dataclass
class Containers:
    """A local runtime with both handlers, what they log, and the file that holds the plain one."""

    hold: Path
    texts: list[str] = field(default_factory=list)
    url: str = ""

    def logged(self, trace_id: str) -> list[str]:
        """The traceparent of each request in the access log that is of the trace."""
        lines = [text for text in self.texts if "path=/invocations" in text and trace_id in text]
        return [line.partition("traceparent=")[2].split()[0] for line in lines]


@contextlib.contextmanager
def containers_running(folder: Path) -> Iterator[Containers]:
    made = Containers(folder / "hold")
    for name, handler in ((PLAIN, HELD.format(hold=str(made.hold))), (BATCHED, IN_BATCHES)):
        (folder / name).mkdir()
        (folder / name / "inference.py").write_text(handler)
    sources = [Source(name, folder / name) for name in (PLAIN, BATCHED)]
    with running(sources, log=lambda _, line: made.texts.append(line.text)) as local:
        made.url = local.url
        yield made


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """Without an exporter."""
    with containers_running(tmp_path_factory.mktemp("containers")) as made:
        yield made


def environment(folder: Path, runtime: str) -> dict[str, str]:
    return {
        "PIXELSERVE_GATEWAY_STATE": str(folder / "state"),
        "PIXELSERVE_GATEWAY_RUNTIME": runtime,
        "PIXELSERVE_GATEWAY_ENDPOINTS": ENDPOINTS,
        "PIXELSERVE_GATEWAY_WEBHOOK_ALLOW_PRIVATE": "true",
    }


def call(gateway: Gateway, headers: Mapping[str, str]) -> Any:
    answer = httpx.post(f"{gateway.url}/v1/similarity", json={"img": IMG}, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def begin_job(gateway: Gateway, webhook: Receiver, headers: Mapping[str, str]) -> None:
    order = {"feature": "similarity", "input": {"img": IMG}, "webhook": webhook.url}
    answer = httpx.post(f"{gateway.url}/v1/jobs", json=order, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 202, answer.text


def gateway_lines(gateway: Gateway) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in gateway.log_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == "request" and line["path"] != "/health"]


@pytest.fixture(params=["sqlite", "dynamodb"])
def stored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a store of jobs that outlives its gateway."""
    if request.param == "sqlite":
        return {}
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue("dynamodb_url"))
    table = f"jobs-{uuid.uuid4().hex}"
    store = DynamoDBStore(table)
    store.create_table()
    store.close()
    return {"PIXELSERVE_GATEWAY_TABLE": table}


def test_one_trace_unchanged_through_a_restart_to_the_webhook(
    tmp_path: Path, stored: dict[str, str], containers: Containers
) -> None:
    given, traced = Given(), Given()
    settings = environment(tmp_path, containers.url) | stored
    with receiving() as webhook:
        with gateway_running(tmp_path, settings) as gateway:
            passed, _ = call(gateway, traced)
            assert dict(passed) == traced
            assert call(gateway, {})[0] == []
            containers.hold.touch()
            begin_job(gateway, webhook, given)
            wait_for(lambda: len(gateway_lines(gateway)) == 3)
            assert [line["traceparent"] for line in gateway_lines(gateway)] == [
                traced["traceparent"],
                "",
                given["traceparent"],
            ]
        assert not webhook.requests  # the job is still to be done
        (tmp_path / "again").mkdir()
        with gateway_running(tmp_path / "again", settings):
            containers.hold.unlink()
            wait_for(lambda: webhook.requests)
    headers, body = webhook.requests[0]
    assert "succeeded" in body
    assert {name: headers[name] for name in given} == given
    for trace in (traced, given):
        assert set(wait_for(lambda trace=trace: containers.logged(trace.id))) == {trace["traceparent"]}


def test_nothing_of_an_exporter_is_loaded_where_none_is_named(tmp_path: Path, containers: Containers) -> None:
    settings = environment(tmp_path, containers.url) | {"PYTHONPROFILEIMPORTTIME": "1"}
    with receiving() as webhook, gateway_running(tmp_path, settings) as gateway:
        assert call(gateway, Given())[1] == []
        begin_job(gateway, webhook, Given())
        wait_for(lambda: webhook.requests)
    imported = {line.rpartition("|")[2].strip() for line in gateway.log_text().splitlines() if "import time:" in line}
    assert "fastapi.routing" in imported  # which itself loads OpenTelemetry's API, and no more of it
    assert not [name for name in imported if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collector, Containers, dict[str, str]]]:
    """A collector, containers that export to it, and the variables that have a process do so."""
    with collecting() as collector, pytest.MonkeyPatch.context() as patch:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        with containers_running(tmp_path_factory.mktemp("exporting")) as containers:
            for name in variables:
                patch.delenv(name)
            yield collector, containers, variables


Exported = tuple[Collector, Containers, dict[str, str]]


def test_all_spans_of_a_call_are_one_tree_under_the_callers(tmp_path: Path, exported: Exported) -> None:
    collector, containers, variables = exported
    given = Given()
    with gateway_running(tmp_path, environment(tmp_path, containers.url) | variables) as gateway:
        passed, loaded = call(gateway, given)
    assert loaded
    spans = wait_for(lambda: collector.of_trace(given.id, 7))
    server, client, container, *stages = in_order(spans)
    assert [server[0], client[0], container[0]] == ["pixelserve-gateway", "pixelserve-gateway", "pixelserve"]
    assert server[1].parent_span_id.hex() == PARENT_ID
    assert client[1].parent_span_id == server[1].span_id
    assert container[1].parent_span_id == client[1].span_id
    assert {span.name for _, span in stages} == STAGES_OF_PLAIN
    assert {span.parent_span_id for _, span in stages} == {container[1].span_id}
    names = ["POST /v1/similarity", "POST", "POST /invocations"]
    assert [span.name for _, span in (server, client, container)] == names
    kinds = [Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER]
    assert [span.kind for _, span in (server, client, container)] == kinds
    expected = {"http.request.method": "POST", "http.response.status_code": 200}
    for _, span in (server, client, container):
        assert expected.items() <= attributes(span).items()
        assert span.trace_state == TRACESTATE
    # What is logged and passed on is the span's own.
    own = [f"00-{given.id}-{span.span_id.hex()}-01" for _, span in (server, container)]
    assert [line["traceparent"] for line in gateway_lines(gateway)] == own[:1]
    assert dict(passed)["traceparent"] == own[1]
    assert wait_for(lambda: containers.logged(given.id)) == own[1:]


def in_order(spans: list[tuple[str, Span]]) -> list[tuple[str, Span]]:
    """By begin; of two that begin together the longer one is first."""
    return sorted(spans, key=lambda found: (found[1].start_time_unix_nano, -found[1].end_time_unix_nano))


def test_a_jobs_run_and_its_webhook_are_spans_of_the_request(tmp_path: Path, exported: Exported) -> None:
    collector, containers, variables = exported
    given = Given()
    late = variables | {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # what is sent is sent at its end
    with receiving() as webhook, gateway_running(tmp_path, environment(tmp_path, containers.url) | late) as gateway:
        begin_job(gateway, webhook, given)
        wait_for(lambda: webhook.requests)
    by_name = {span.name: span for _, span in wait_for(lambda: collector.of_trace(given.id, 9))}
    assert by_name.keys() == {"POST /v1/jobs", "job", "POST", "POST /invocations", "webhook"} | STAGES_OF_PLAIN
    parents = {"job": "POST /v1/jobs", "POST": "job", "POST /invocations": "POST", "webhook": "POST /v1/jobs"}
    for name, parent in parents.items():
        assert by_name[name].parent_span_id == by_name[parent].span_id, name
    told = webhook.requests[0][0]["traceparent"]
    assert told == f"00-{given.id}-{by_name['webhook'].span_id.hex()}-01"
    assert attributes(by_name["webhook"])["http.response.status_code"] == 200
    assert attributes(by_name["webhook"])["pixelserve.job.id"] == attributes(by_name["job"])["pixelserve.job.id"]


def test_stages_on_threads_and_refusals_are_spans(tmp_path: Path, exported: Exported) -> None:
    collector, containers, variables = exported
    batched, refused = Given(), Given()
    with (
        gateway_running(tmp_path, environment(tmp_path, containers.url) | variables) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=60) as client,
    ):
        headers = {"Content-Type": "image/png", **batched}
        assert client.post("/v1/super-resolution", content=png(24, 32), headers=headers).is_success
        assert client.post("/v1/segmentation", json={"img": IMG}, headers=refused).status_code == 404
    names = {span.name for _, span in wait_for(lambda: collector.of_trace(batched.id, 7))}
    assert names > {"POST /invocations", "queue", "input_fn", "predict_batch_fn", "output_fn"}
    ((_, span),) = wait_for(lambda: collector.of_trace(refused.id, 1))
    assert attributes(span)["http.response.status_code"] == 404
    assert span.status.code == span.status.STATUS_CODE_UNSET  # the caller's mistake, by the conventions for HTTP


def test_a_collector_that_is_gone_costs_no_answer(tmp_path: Path, containers: Containers) -> None:
    gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with gateway_running(tmp_path, environment(tmp_path, containers.url) | gone) as gateway:
        given = Given()
        assert given.id in dict(call(gateway, given)[0])["traceparent"]
        wait_for(lambda: "opentelemetry" in gateway.log_text(), what="a line about it")
        call(gateway, given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"PYTHONPATH": "without"}, "opentelemetry.sdk is missing. Install it: pip install 'pixelserve[otel]'"),
        ({"OTEL_TRACES_EXPORTER": "nothing"}, "no package that is installed brings the exporter nothing"),
    ],
    ids=["package", "exporter"],
)
def test_an_exporter_that_cannot_be_had_is_one_line_of_the_log(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    absent = tmp_path / "without" / "opentelemetry" / "sdk" / "__init__.py"
    absent.parent.mkdir(parents=True)
    absent.write_text("raise ModuleNotFoundError(name=__name__)")
    paths = os.pathsep.join(filter(None, (str(tmp_path / "without"), os.environ.get("PYTHONPATH"))))
    settings = environment(tmp_path, "http://127.0.0.1:9") | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    settings |= {name: paths if name == "PYTHONPATH" else value for name, value in given.items()}
    with gateway_running(tmp_path, settings) as gateway:
        assert httpx.get(f"{gateway.url}/health", trust_env=False).is_success
    lines = [line for line in gateway.log_text().splitlines() if "no spans are exported" in line]
    assert len(lines) == 1
    assert json.loads(lines[0])["message"].endswith(told)


IDS = "12345678901234567890123456789012-1234567890123456"
VALID, LATER = f"00-{IDS}-01", f"cc-{IDS}-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([VALID], VALID),
        ([f"\t {VALID} \t"], VALID),
        ([f"00-{IDS}-00"], f"00-{IDS}-00"),
        ([VALID, VALID], ""),
        ([LATER], VALID),
        ([f"{LATER}-what-the-future-will-be-like"], VALID),
        ([f"{LATER}.what-the-future-will-be-like"], ""),
        ([f"{VALID}-what-the-future-will-be-like"], ""),
        ([f"{VALID}."], ""),
        ([f"ff-{IDS}-01"], ""),
        *(([f"{version}-{IDS}-01"], "") for version in (".0", "0.", "000", "0000", "0")),
        *(([f"00-{IDS}-{flags}"], "") for flags in (".0", "0.", "001", "1")),
        ([f"00-{'0' * 32}-1234567890123456-01"], ""),
        ([f"00-{'1' * 31}.-1234567890123456-01"], ""),
        ([f"00-{'1' * 33}-1234567890123456-01"], ""),
        ([f"00-{'1' * 31}-1234567890123456-01"], ""),
        ([f"00-{'A' * 32}-1234567890123456-01"], ""),
        ([f"00-{'1' * 32}-{'0' * 16}-01"], ""),
        ([f"00-{'1' * 32}-{'1' * 15}.-01"], ""),
        ([f"00-{'1' * 32}-{'1' * 17}-01"], ""),
        ([f"00-{'1' * 32}-{'1' * 15}-01"], ""),
        ([], ""),
    ],
)
def test_traceparent_is_read_as_w3c_tests_it(given: list[str], kept: str) -> None:
    """The cases of https://github.com/w3c/trace-context, test/test.py."""
    headers = [(b"traceparent", value.encode()) for value in given]
    assert Trace.of_request([*headers, (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]) == (
        Trace(kept, "a=1,b=2") if kept else NO_TRACE
    )
    if len(given) == 1:
        assert Trace.of_request([], f"scale=4; traceparent={given[0]}").parent == kept


def test_a_tracestate_in_custom_attributes_is_no_option() -> None:
    trace = Trace(VALID, "format=jpeg,scale=4;quality=3")
    attributes = trace.added_to("scale=2")
    assert Trace.of_request([], attributes) == trace
    read = parse_attributes(SuperResolutionRequest, attributes)
    assert (read.scale, read.format, read.quality) == (2, "png", SuperResolutionRequest().quality)


def test_a_tracestate_that_does_not_fit_is_left_out() -> None:
    trace = Trace(VALID, "a=" + "=" * 400)
    assert trace.added_to("scale=2") == f"scale=2;traceparent={VALID}"
    assert Trace.parse(VALID, "a=" + "b" * 511).state == ""
