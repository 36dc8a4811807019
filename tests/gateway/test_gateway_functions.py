"""Features as Lambda functions: the gateway's calls, and our own function behind a stand-in for Lambda's Invoke API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_servers import png
from lambda_invoke import function_running

from pixelserve.errors import BodyTooLarge, DeadlineExceeded, NotFound, PixelserveError, QueueFull, Unavailable
from pixelserve.features import feature
from pixelserve.settings import Settings, SettingsError
from pixelserve_gateway import Call, Calls, GatewaySettings
from pixelserve_gateway.functions import Functions
from pixelserve_gateway.runtime import Runtime

PHOTO = png(24, 32)
NAMED = GatewaySettings(functions=("image_similarity=similar",), endpoints=("image-similarity=",))
Scripted = tuple[int, dict[str, str], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """Lambda with our function of image similarity."""
    with function_running("image_similarity") as running:
        yield running


def call(server: Any, made: Call, scripted: Scripted | None = None) -> Any:
    server.calls, server.scripted = [], scripted

    async def run() -> Any:
        functions = Functions(f"http://127.0.0.1:{server.server_port}")
        try:
            return await Calls(Runtime("http://127.0.0.1:9"), NAMED, Settings(), functions=functions).invoke(made)
        finally:
            await functions.close()

    return asyncio.run(run())


def test_a_function_answers_as_an_endpoint_does(server: Any) -> None:
    result = call(server, Call.from_image("image_similarity", PHOTO, {"normalize": True}))
    assert len(json.loads(result.body)["result"]) == 512
    assert result.media_type == "application/json"
    ((path, event),) = server.calls
    assert path == "/2015-03-31/functions/similar/invocations"
    assert event["headers"]["content-type"] == "image/png"


def test_a_functions_own_error_is_told(server: Any) -> None:
    with pytest.raises(PixelserveError) as raised:
        call(server, Call.from_body("image_similarity", b"no picture", "image/png"))
    assert (raised.value.status, raised.value.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((429, {}, {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}), QueueFull),
        ((413, {}, {}), BodyTooLarge),
        ((503, {}, {}), Unavailable),
        (
            (200, {"x-amz-function-error": "Unhandled"}, {"errorMessage": "Task timed out after 3.00 s"}),
            DeadlineExceeded,
        ),
        ((200, {"x-amz-function-error": "Unhandled"}, {"errorType": "Runtime.ExitError"}), Unavailable),
        ((200, {}, {"hello": "world"}), Unavailable),
        ((404, {"x-amzn-errortype": "ResourceNotFoundException:http"}, {}), PixelserveError),
    ],
)
def test_what_lambda_says_is_an_error_of_ours(server: Any, answer: Scripted, error: type[PixelserveError]) -> None:
    """Shapes and codes: Invoke in Lambda's API reference, and errors in its developer guide."""
    with pytest.raises(PixelserveError) as raised:
        call(server, Call.from_image("image_similarity", PHOTO, {}), answer)
    assert type(raised.value) is error


def test_what_no_event_can_hold_is_not_sent(server: Any) -> None:
    with pytest.raises(BodyTooLarge, match=r"4\.4 MB"):
        call(server, Call.from_body("image_similarity", bytes(5_000_000), "image/png"))
    assert server.calls == []


def test_a_feature_without_a_name_is_not_served() -> None:
    assert NAMED.serves(feature("image_similarity"))
    assert not NAMED.serves(feature("human_image_segmentation"))
    none = GatewaySettings(endpoints=("image_similarity=", "human_image_segmentation="))
    with pytest.raises(NotFound):
        asyncio.run(Calls(Runtime("http://127.0.0.1:9"), none).invoke(Call.from_image("image_similarity", PHOTO, {})))
    with pytest.raises(SettingsError, match="PIXELSERVE_GATEWAY_FUNCTIONS"):
        GatewaySettings.from_env({"PIXELSERVE_GATEWAY_FUNCTIONS": "similar"})
