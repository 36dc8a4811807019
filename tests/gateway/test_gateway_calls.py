"""Calls: how they are made, kept and checked; invoked and started at a real runtime; errors of the service as ours."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from gateway_servers import png
from servers import ROOT, wait_for

from pixelserve.errors import (
    BadRequest,
    NotAcceptable,
    NotFound,
    OutputTooLarge,
    PixelserveError,
    Unavailable,
)
from pixelserve.features import FEATURES, feature
from pixelserve.local import LocalRuntime, Source, running
from pixelserve.observe import Trace
from pixelserve.settings import Settings, SettingsError, as_markdown
from pixelserve.storage import Folder
from pixelserve_gateway import Call, Calls, GatewaySettings
from pixelserve_gateway.runtime import Runtime
from pixelserve_gateway.services import Signer, service_url

PHOTO = png(24, 32)
T = TypeVar("T")
CALLS = [
    Call.from_fields("image-super-resolution", {"url": "https://example.com/ä.jpg", "scale": 4, "face": True}),
    Call.from_image("image_super_resolution", PHOTO, {"target": "2k", "format": "webp"}, "image/*"),
    Call.from_image("human_image_segmentation", PHOTO, {"type": "foreground"}),
    Call.from_image("image_similarity", PHOTO, {"normalize": True}),
    Call.from_fields("image_similarity", {"url_1": "s3://b/k", "img_2": "aGk="}),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_the_same_after_it_was_kept(call: Call) -> None:
    assert Call.load(call.dump(), call.body) == call


def test_an_image_is_sent_as_it_is_with_its_options_as_attributes() -> None:
    call = CALLS[1]
    assert (call.body, call.content_type, call.attributes) == (PHOTO, "image/png", "target=2k;format=webp")
    assert call.accept == "image/webp"


@pytest.mark.parametrize(
    ("make", "error", "param"),
    [
        (lambda: Call.from_fields("image_similarity", {}), BadRequest, "url"),
        (lambda: Call.from_fields("image_similarity", {"url": "a", "img": "b"}), BadRequest, "img"),
        (lambda: Call.from_fields("image_similarity", {"url_1": "a", "url_2": "b", "img_2": "c"}), BadRequest, "img_2"),
        (lambda: Call.from_fields("image_similarity", {"img": "?"}), BadRequest, "img"),
        (lambda: Call.from_image("image_similarity", b"", {}), BadRequest, "image"),
        (lambda: Call.from_image("image_similarity", PHOTO, {"url": "a"}), BadRequest, "url"),
        (lambda: Call.from_image("image_similarity", PHOTO, {}, "image/png"), NotAcceptable, None),
        (lambda: Call.from_fields("colorize", {}), NotFound, None),
    ],
)
def test_what_is_no_call_says_why(make: Callable[[], Call], error: type[BadRequest], param: str | None) -> None:
    with pytest.raises(error) as raised:
        make()
    assert raised.value.param == param


def with_calls(use: Callable[[Calls], Awaitable[T]], url: str, **settings: Any) -> T:
    """What `use` gives, with calls to the runtime at `url`."""

    async def run() -> T:
        runtime = Runtime(url)
        try:
            return await use(Calls(runtime, GatewaySettings(**settings), Settings()))
        finally:
            await runtime.close()

    return asyncio.run(run())


def test_an_invocation_now(features_runtime: LocalRuntime) -> None:
    call = Call.from_image("image_super_resolution", PHOTO, {"scale": 4}, "image/png")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    result = with_calls(lambda calls: calls.invoke(call, request_id="a", trace=Trace(trace)), features_runtime.url)
    assert result.media_type == "image/png"
    assert result.body.startswith(b"\x89PNG")
    assert result.attributes.startswith("width=128;height=96")


ASYNC = tuple(f"{f.name}={f.endpoint}-async" for f in FEATURES)


def test_a_started_call(features_runtime: LocalRuntime, invocations: Any) -> None:
    call = Call.from_image("human_image_segmentation", PHOTO, {}, "image/png")
    (invocations / "input").write_bytes(call.body)
    place = Folder(invocations)
    inference_id = "started"

    async def start_and_look(calls: Calls) -> Any:
        started = await calls.start(call, inference_id, input_url=place.url("input"))
        told: list[float | None] = []
        while told[-1:] != [1.0]:
            told.append(await calls.look(inference_id))
            await asyncio.sleep(0.02)
        return started

    started = with_calls(start_and_look, features_runtime.url, async_endpoints=ASYNC)
    assert started.inference_id == inference_id
    name = place.name_of(started.output_url)
    assert wait_for(lambda: (invocations / name).is_file())
    assert (invocations / name).read_bytes().startswith(b"\x89PNG")
    assert place.name_of(started.failure_url)


def test_nobody_tells_how_far_an_unknown_call_is(features_runtime: LocalRuntime) -> None:
    assert with_calls(lambda calls: calls.look("nobody"), features_runtime.url) is None


def test_a_feature_without_an_endpoint(features_runtime: LocalRuntime) -> None:
    call = Call.from_image("image_similarity", PHOTO, {})
    only = {"endpoints": ("human_image_segmentation=human-image-segmentation",)}
    with pytest.raises(NotFound, match="human_image_segmentation"):
        with_calls(lambda calls: calls.invoke(call), features_runtime.url, **only)
    with pytest.raises(NotFound, match="no asynchronous endpoint"):
        with_calls(lambda calls: calls.start(call, "x", input_url="file:///x"), features_runtime.url)


def test_a_runtime_that_is_not_there_is_unavailable() -> None:
    call = Call.from_image("image_similarity", PHOTO, {})
    with pytest.raises(Unavailable) as raised:
        with_calls(lambda calls: calls.invoke(call), "http://127.0.0.1:9")
    assert raised.value.retry_after


def test_an_endpoint_that_is_not_there_is_a_fault_of_the_gateway(features_runtime: LocalRuntime) -> None:
    call = Call.from_image("image_similarity", PHOTO, {})
    with pytest.raises(PixelserveError, match="may not call its endpoint") as raised:
        with_calls(lambda calls: calls.invoke(call), features_runtime.url, endpoints=("image_similarity=nowhere",))
    assert raised.value.status == 500


ECHO = """
import json
from pixelserve.errors import QueueFull

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept, context):
    if body == b"full":
        raise QueueFull("Too many wait.", retry_after=7)
    seen = [len(body), content_type, accept, context.custom_attributes, context.request_id]
    return json.dumps(seen), "application/json"
"""


def test_what_a_container_gets_and_how_its_errors_come_back(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(ECHO)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    call = Call.from_image("image_super_resolution", PHOTO, {"scale": 4}, "image/jpeg")
    full = Call.from_image("image_super_resolution", b"full", {})
    with running([Source("echo", tmp_path)]) as local:
        named = {"endpoints": ("image_super_resolution=echo",)}
        result = with_calls(lambda calls: calls.invoke(call, request_id="a-1", trace=Trace(trace)), local.url, **named)
        assert json.loads(result.body)[:4] == [len(PHOTO), "image/png", "image/jpeg", f"scale=4;traceparent={trace}"]
        with pytest.raises(PixelserveError, match="Too many wait") as raised:
            with_calls(lambda calls: calls.invoke(full), local.url, **named)
    error = raised.value
    assert (error.status, error.code, error.retryable, error.retry_after) == (429, "queue_full", True, 7)


def test_a_jobs_answer_may_be_larger_than_what_is_answered() -> None:
    calls = Calls(Runtime("http://127.0.0.1:9"), GatewaySettings(max_answer_bytes=1_000), Settings())
    call = Call.from_image("image_super_resolution", PHOTO, {})
    calls.check(call, as_job=True)
    with pytest.raises(OutputTooLarge):
        calls.check(call)


def test_an_answer_that_is_too_large_is_refused_before_and_after(features_runtime: LocalRuntime) -> None:
    call = Call.from_image("image_super_resolution", PHOTO, {}, "image/png")
    with pytest.raises(OutputTooLarge, match="64 x 48 pixels, about"):
        with_calls(lambda calls: calls.invoke(call), features_runtime.url, max_answer_bytes=1_000)
    vector = Call.from_image("image_similarity", PHOTO, {})
    with pytest.raises(OutputTooLarge, match="The answer has"):
        with_calls(lambda calls: calls.invoke(vector), features_runtime.url, max_answer_bytes=1_000)


def test_requests_to_aws_are_signed_as_botocore_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    url = f"{service_url('sagemaker-runtime', 'eu-west-1')}/endpoints/image-similarity/invocations"
    assert url.startswith("https://runtime.sagemaker.eu-west-1.amazonaws.com/")
    assert service_url("sagemaker-runtime", "cn-north-1").endswith(".amazonaws.com.cn")
    headers = Signer("sagemaker", "eu-west-1").sign(url, PHOTO, {"content-type": "image/png"})
    assert headers["X-Amz-Security-Token"] == "token"
    again = AWSRequest("POST", url, data=PHOTO, headers={"content-type": "image/png"})
    again.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(botocore.session.get_session().get_credentials(), "sagemaker", "eu-west-1")
    again.headers["X-Amz-Date"] = headers["X-Amz-Date"]
    again.headers["X-Amz-Security-Token"] = "token"
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert headers["Authorization"].endswith(f"Signature={signature}")


def test_a_signed_call_is_answered(
    features_runtime: LocalRuntime, invocations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    call = Call.from_image("image_similarity", PHOTO, {})
    (invocations / "signed").write_bytes(call.body)

    async def run() -> tuple[bytes, float | None]:
        runtime = Runtime(features_runtime.url, Signer("sagemaker", "us-east-1"))
        calls = Calls(runtime, GatewaySettings(async_endpoints=ASYNC), Settings())
        try:
            result = await calls.invoke(call, request_id="signed")
            await calls.start(call, "signed-job", input_url=Folder(invocations).url("signed"))
            return result.body, await calls.look("signed-job")
        finally:
            await runtime.close()

    body, told = asyncio.run(run())
    assert len(json.loads(body)["result"]) == 512
    assert told is None, "the service has no operation that tells the state"


def test_without_credentials_aws_cannot_be_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="no AWS credentials"):
        Signer("sagemaker", "us-east-1")


def test_the_gateway_needs_neither_numpy_nor_torch_nor_opencv() -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numpy", "torch", "cv2", "PIL", "onnxruntime", "scipy", "simplejpeg"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import pixelserve_gateway.__main__
from pixelserve_gateway import Call, Calls, GatewaySettings, create_app
from pixelserve_gateway.runtime import Runtime
create_app(GatewaySettings(runtime="http://127.0.0.1:9"))
data = bytes.fromhex(sys.argv[1])
Calls(Runtime("http://127.0.0.1:9"), GatewaySettings()).check(Call.from_image("image_super_resolution", data, {}))
print(*sorted(name for name in sys.modules if name in ("pixelserve.local", "pixelserve.serving", "pixelserve.models")))
"""
    ran = subprocess.run([sys.executable, "-c", code, PHOTO.hex()], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


def test_settings_are_read_and_mistakes_named() -> None:
    read = GatewaySettings.from_env(
        {"PIXELSERVE_GATEWAY_ENDPOINTS": "image-similarity=mine", "AWS_REGION": "eu-west-1"}
    )
    assert (read.endpoint(feature("image_similarity")), read.region) == ("mine", "eu-west-1")
    assert read.endpoint(feature("image_super_resolution")) is None
    assert GatewaySettings().endpoint(feature("image_super_resolution")) == "image-super-resolution"
    for name, value in (("ENDPOINTS", "nothing=a"), ("ASYNC_ENDPOINTS", "image-similarity"), ("PORT", "70000")):
        with pytest.raises(SettingsError, match=f"PIXELSERVE_GATEWAY_{name}"):
            GatewaySettings.from_env({f"PIXELSERVE_GATEWAY_{name}": value})


def test_the_page_has_the_table_of_the_settings() -> None:
    assert as_markdown(GatewaySettings) in (ROOT / "docs" / "gateway.md").read_text()
