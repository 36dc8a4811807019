"""`measure --aws`: which endpoints it takes, what it asks before anything is called, and what it counts; and what
`invoke --aws` says of a model that fails.

moto has the endpoints; their runtime is a server of this test, which answers as InvokeEndpoint does (API reference).
"""

from __future__ import annotations

import http.server
import json
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ci_deploy import draw_picture
from told import read_told

from pixelserve_deploy import cli

NAME = "upscaler"
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
IMAGE = "123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve:1"
THROTTLED = (400, "ThrottlingException", {"message": "Rate exceeded"})
MODEL_FAILED = (
    424,
    "ModelError",
    {"Message": "It failed.", "OriginalStatusCode": 500, "OriginalMessage": "ValueError"},
)


class Runtime(http.server.ThreadingHTTPServer):
    """Answers a byte; `throttle` says of which calls it refuses, and `then` is done after each."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answerer)
        self.calls = 0
        self.throttle: Callable[[int], bool] = lambda number: False
        self.refusal = THROTTLED
        self.then: Callable[[], object] = lambda: None
        self.lock = threading.Lock()


class Answerer(http.server.BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.calls += 1
            is_throttled = self.server.throttle(self.server.calls)
        self.server.then()
        status, kind, told = self.server.refusal
        self.send_response(status if is_throttled else 200)
        if is_throttled:
            self.send_header("x-amzn-errortype", kind)
        body = json.dumps(told).encode() if is_throttled else b"x"
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    with Runtime() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


@pytest.fixture
def make(aws: Callable[[str], Any], tmp_path: Path) -> Callable[..., Any]:
    """Makes the endpoint with two instances, and the picture that is sent; gives the client."""
    (tmp_path / "photo.png").write_bytes(draw_picture())

    def make_endpoint(
        variants: int = 1,
        fields: dict[str, Any] | None = None,
        feature: str = "image_super_resolution",
        **config: Any,
    ) -> Any:
        sagemaker = aws("sagemaker")
        container = {"Image": IMAGE, "Environment": {"PIXELSERVE_FEATURE": feature}}
        sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=ROLE, PrimaryContainer=container)
        instances = {"InitialInstanceCount": 2, "InstanceType": "ml.g4dn.xlarge"}
        made = [
            {"VariantName": f"variant-{number}", "ModelName": NAME, **(fields or instances)}
            for number in range(variants)
        ]
        sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=made, **config)
        sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
        return sagemaker

    return make_endpoint


def measure(*words: str) -> int:
    load = ["--body", "photo.png", "--scale", "4", "--clients", "2", "--seconds", "0.5"]
    return cli.main(["measure", NAME, *load, "--aws", "--region", "us-east-2", *words])


def test_instances_are_counted_and_what_is_throttled_has_failed(
    make: Callable[..., Any], runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    runtime.throttle = lambda number: number % 3 == 0
    assert measure("--yes", "--json") == 1  # some failed
    told = read_told(capsys.readouterr().out, "measure")
    machine, (row,) = told["machine"], told["rows"]
    assert (machine["instance"], machine["instances"], row["scale"]) == ("ml.g4dn.xlarge", 2, 4)
    assert row["failures"] == runtime.calls // 3 > 0
    assert row["seconds"]["count"] + row["failures"] == runtime.calls - 1
    assert cli.main(["cost", "from-benchmark", "measured.json"]) == 0


def test_nothing_is_called_before_the_answer(
    make: Callable[..., Any], runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    assert measure() == 1
    assert "Nobody is there to answer: give --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "n\n", raising=False)
    assert measure() == 1
    asked = capsys.readouterr().err
    assert "2 clients call upscaler for 0.5 s and once before. Its 2 instances, ml.g4dn.xlarge, cost $1.473" in asked
    assert "a GB sent costs $0.016, and one answered $0.106" in asked
    assert (runtime.calls, Path("measured.json").exists()) == (0, False)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://o/"}}}, "is asynchronous: its requests wait"),
        ({"fields": {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2}}}, "is serverless: it has no"),
        ({"variants": 2}, "runs on 2 x ml.g4dn.xlarge, 2 x ml.g4dn.xlarge. Measure an endpoint with one variant"),
    ],
)
def test_an_endpoint_whose_rate_is_not_of_instances_is_refused(
    made: dict[str, Any], told: str, make: Callable[..., Any], runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    make(**made)
    assert measure("--yes") == 1
    assert told in capsys.readouterr().err
    assert runtime.calls == 0


def test_an_endpoint_that_is_scaled_meanwhile_is_refused(
    make: Callable[..., Any], runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker = make()
    wanted = [{"VariantName": "variant-0", "DesiredWeight": 1, "DesiredInstanceCount": 3}]
    runtime.then = lambda: sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=NAME, DesiredWeightsAndCapacities=wanted
    )
    assert measure("--yes") == 1
    told = capsys.readouterr().err
    assert "upscaler had 2 x ml.g4dn.xlarge at the start and 3 x ml.g4dn.xlarge at the end" in told
    assert "A SECOND" in told
    assert not Path("measured.json").exists()


def test_figures_are_kept_where_nobody_can_look_again(
    make: Callable[..., Any], runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    sagemaker = make()
    runtime.then = lambda: sagemaker.delete_endpoint(EndpointName=NAME) if runtime.calls == 2 else None
    assert measure("--yes", "-o", "my run.json") == 0
    out, err = capsys.readouterr()
    note = "The instances are those of the start; those of the end could not be looked up: DescribeEndpoint"
    assert note in err
    assert json.loads(Path("my run.json").read_text())["machine"]["note"].startswith(note)
    words = shlex.split(out.rpartition("has it: ")[2])
    assert cli.main(words[1:]) == 0


@pytest.mark.parametrize(
    ("refusal", "feature", "is_hinted"),
    [(THROTTLED, "", False), (MODEL_FAILED, "", True), (MODEL_FAILED, "image_super_resolution", False)],
)
def test_a_model_of_ones_own_that_fails_is_told_how_pictures_were_sent(
    refusal: tuple[int, str, dict], feature: str, is_hinted: bool, make, runtime: Runtime, capsys
) -> None:
    make(feature=feature)
    runtime.throttle, runtime.refusal = (lambda number: True), refusal
    assert cli.main(["invoke", NAME, "photo.png", "-o", "a.json", "--aws", "--region", "us-east-2"]) == 1
    assert ("If it takes pictures alone, --content-type image/png" in capsys.readouterr().err) == is_hinted
