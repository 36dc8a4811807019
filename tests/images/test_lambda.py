"""The target `lambda` under AWS's own runtime interface emulator, called as Lambda is."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import docker
import httpx
import numpy as np
import pytest
from containers import TIME_TO_BUILD, built
from drawing import picture
from emulator import call, emulated, http_event

pytestmark = TIME_TO_BUILD
COMMAND = ["python", "-m", "awslambdaric", "pixelserve.serving.aws_lambda.handler"]
WITH_WEIGHTS = """
from pathlib import Path

def model_fn(model_dir):
    return int(Path(model_dir, "bias.txt").read_text())

def predict_fn(data, model):
    return {"sum": int(data["value"]) + model}
"""


@pytest.fixture(scope="module")
def function(client: docker.DockerClient, emulator: Path) -> Iterator[httpx.Client]:
    with emulated(client, emulator, built(client, target="lambda"), COMMAND) as caller:
        yield caller


def png(height: int, width: int) -> bytes:
    return cv2.imencode(".png", picture(height, width))[1].tobytes()


def test_a_direct_call_takes_and_answers_json(function: httpx.Client) -> None:
    answer = call(function, {"img": base64.b64encode(png(30, 40)).decode(), "scale": 2})
    large = cv2.imdecode(np.frombuffer(base64.b64decode(answer["result"]), np.uint8), cv2.IMREAD_COLOR)
    assert large.shape == (60, 80, 3)


def test_an_image_over_a_function_url(function: httpx.Client) -> None:
    event = http_event(
        png(30, 40),
        content_type="image/png",
        accept="image/jpeg",
        X_Amzn_SageMaker_Custom_Attributes="scale=4",
    )
    answer = call(function, event)
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "image/jpeg")
    assert "width=160" in answer["headers"]["x-amzn-sagemaker-custom-attributes"]
    assert answer["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"])[:3] == b"\xff\xd8\xff"


def test_a_rest_event_of_api_gateway(function: httpx.Client) -> None:
    event = {"httpMethod": "POST", "path": "/x", "headers": None, "body": "{}", "isBase64Encoded": False}
    answer = call(function, event)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (400, False)
    assert '"code": "bad_request"' in answer["body"]


@pytest.mark.parametrize(
    ("event", "status", "word"),
    [
        (http_event(method="GET", path="/ping"), 200, "ready"),
        (http_event(method="DELETE"), 405, "takes POST"),
        (http_event(png(30, 40)[:60], content_type="image/png"), 400, "invalid_image"),
        (http_event(b"", content_type="image/png"), 400, "empty"),
        (http_event() | {"body": "%%%"}, 400, "Base64"),
        (http_event(b"x", content_type="text/x-own"), 415, "unsupported_media_type"),
        (http_event() | {"requestContext": None}, 405, "takes POST"),
        (http_event() | {"requestContext": "x"}, 400, "requestContext is str"),
        (http_event() | {"body": {"a": 1}}, 400, "body is dict"),
        (http_event() | {"headers": ["x"]}, 400, "headers is list"),
    ],
)
def test_other_requests(function: httpx.Client, event: dict[str, Any], status: int, word: str) -> None:
    answer = call(function, event)
    assert answer["statusCode"] == status
    assert word in answer["body"]
    assert "Traceback" not in answer["body"]


def test_headers_of_a_load_balancer(function: httpx.Client) -> None:
    headers = {"Content-Type": ["image/png"], "Accept": ["image/webp"]}
    event = {"httpMethod": "POST", "path": "/", "multiValueHeaders": headers, "isBase64Encoded": True}
    answer = call(function, event | {"body": base64.b64encode(png(30, 40)).decode()})
    assert answer["statusCode"] == 200
    assert answer["multiValueHeaders"]["content-type"] == ["image/webp"]


@pytest.mark.parametrize("event", [None, 5, True, "requestContext", [], {}])
def test_events_that_are_no_request(function: httpx.Client, event: object) -> None:
    answer = call(function, event)
    assert answer["error"]["code"] == "bad_request"


def test_an_answer_beyond_lambdas_limit_says_what_to_do(function: httpx.Client) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (700, 700, 3), np.uint8)
    body = cv2.imencode(".jpg", noise)[1].tobytes()
    event = http_event(body, content_type="image/jpeg", accept="application/x-npy")
    event["headers"]["x-amzn-sagemaker-custom-attributes"] = "scale=4"
    answer = call(function, event)
    assert answer["statusCode"] == 413
    assert "image/webp" in answer["body"]


def test_a_direct_call_that_fails_answers_the_error(function: httpx.Client) -> None:
    answer = call(function, {"scale": 3})
    assert answer["error"]["code"] == "bad_request"


def test_weights_lie_in_the_image(client: docker.DockerClient, emulator: Path, tmp_path: Path) -> None:
    """Nothing can be mounted on Lambda."""
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "inference.py").write_text(WITH_WEIGHTS)
    (model / "bias.txt").write_text("7")
    (model / "bias.txt").chmod(0o600)
    image = built(client, target="lambda", handler=str(model / "code"), model_dir=model)
    with emulated(client, emulator, image, COMMAND) as caller:
        assert call(caller, {"value": 3}) == {"sum": 10}
