"""A client of the SageMaker Runtime API: the service, signed as AWS asks for, or `pixelserve up`, an address apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import httpx

from pixelserve.errors import (
    BadRequest,
    BodyTooLarge,
    DeadlineExceeded,
    PixelserveError,
    QueueFull,
    Unavailable,
)
from pixelserve.observe import NO_TRACE, Trace, tracing
from pixelserve.wire import ATTRIBUTES, INFERENCE_ID, read_error
from pixelserve_gateway.services import Service, Signer

_PREFIX = "x-amzn-sagemaker-"
_QUEUE_SECONDS, _WORK_SECONDS = 21_600, 3_600
"""What an asynchronous invocation may wait, and then take."""


@dataclass(frozen=True)
class Invocation:
    """The headers of an invocation, in the service's members; `trace` goes along in the custom attributes."""

    content_type: str
    accept: str
    attributes: str = ""
    inference_id: str = ""
    trace: Trace = NO_TRACE


@dataclass(frozen=True)
class Answer:
    """What a container answered."""

    body: bytes
    media_type: str
    attributes: str


@dataclass(frozen=True)
class Started:
    """An accepted asynchronous invocation, and the URLs (s3:// or file://) where one of output or failure will be."""

    inference_id: str
    output_url: str
    failure_url: str


State = Literal["queued", "running", "succeeded", "failed"]


@dataclass(frozen=True)
class Progress:
    """How an asynchronous invocation stands, and how far it is, from 0 to 1; None while its handler does not tell."""

    state: State
    fraction: float | None


class Runtime:
    """The API at `url`; requests are signed where a `signer` is given."""

    def __init__(self, url: str, signer: Signer | None = None) -> None:
        self._service = Service("The SageMaker Runtime", url, signer)

    async def close(self) -> None:
        await self._service.close()

    async def invoke(self, endpoint: str, invocation: Invocation, body: bytes) -> Answer:
        """InvokeEndpoint. Raises the container's own error, or what `_read_fault` makes of the service's."""
        headers = {"content-type": invocation.content_type, "accept": invocation.accept}
        response = await self._post(f"/endpoints/{quote(endpoint)}/invocations", headers, invocation, body)
        return Answer(
            response.content,
            response.headers.get("content-type", "application/octet-stream"),
            response.headers.get(ATTRIBUTES, ""),
        )

    async def invoke_async(self, endpoint: str, invocation: Invocation, input_url: str) -> Started:
        """InvokeEndpointAsync of the input at `input_url`, with the longest times that the service allows."""
        headers = {
            f"{_PREFIX}content-type": invocation.content_type,
            f"{_PREFIX}accept": invocation.accept,
            f"{_PREFIX}requestttlseconds": str(_QUEUE_SECONDS),
            f"{_PREFIX}invocationtimeoutseconds": str(_WORK_SECONDS),
            f"{_PREFIX}inputlocation": input_url,
        }
        response = await self._post(f"/endpoints/{quote(endpoint)}/async-invocations", headers, invocation, b"")
        return Started(
            str(response.json()["InferenceId"]),
            response.headers[f"{_PREFIX}outputlocation"],
            response.headers.get(f"{_PREFIX}failurelocation", ""),
        )

    async def look(self, inference_id: str) -> Progress | None:
        """The local runtime's own operation GET /async-invocations/ID; None where it is absent or knows no such ID."""
        if self._service.is_signed:
            return None
        response = await self._service.get(f"/async-invocations/{quote(inference_id, safe='')}")
        if response is None or not response.is_success:
            return None
        told = response.json()
        return Progress(told["state"], told.get("progress"))

    async def _post(self, path: str, headers: dict[str, str], invocation: Invocation, body: bytes) -> httpx.Response:
        attributes = {"http.request.method": "POST", "url.full": self._service.url + path}
        with tracing.span("POST", invocation.trace, "client", attributes) as span:
            response = await self._service.post(path, {**headers, **forward(invocation, span.trace)}, body)
            span.answered(response.status_code)
        if not response.is_success:
            raise _read_fault(response.status_code, response.content, response.headers.get("x-amzn-errortype", ""))
        return response


def forward(invocation: Invocation, trace: Trace) -> dict[str, str]:
    """The headers that containers are passed."""
    headers = {ATTRIBUTES: trace.added_to(invocation.attributes), INFERENCE_ID: invocation.inference_id}
    return {name: value for name, value in headers.items() if value}


def _read_fault(status: int, body: bytes, kind: str) -> PixelserveError:
    """An error of the service as ours: the container's own inside ModelError, throttling, time-outs and refusals."""
    kind = kind.partition(":")[0]
    try:
        fields: dict[str, Any] = json.loads(body)
    except ValueError:
        fields = {}
    message = str(fields.get("Message") or fields.get("message") or "")
    if kind in ("ModelError", "ModelNotReadyException") or status == 424:
        original = int(fields.get("OriginalStatusCode") or 0)
        if original:
            return read_error(original, str(fields.get("OriginalMessage", "")).encode())
        if "timed out" in message:
            return DeadlineExceeded("The endpoint did not answer in time. Make it a job.", retry_after=5)
        return Unavailable("The endpoint lost the request. Try again.", retry_after=1)
    if kind == "ThrottlingException" or status == 429:
        return QueueFull("The endpoint takes no more calls now. Try again later.", retry_after=2)
    if status == 413:
        return BodyTooLarge("The endpoint does not take a body of this size. Shrink the image, or send its URL.")
    if status >= 500:
        return Unavailable("The endpoint is not available now. Try again later.", retry_after=5)
    if kind == "ValidationError" and "not found" not in message:
        return BadRequest(message or "The endpoint does not take this call.")
    return PixelserveError(f"The gateway may not call its endpoint: {kind or status}. Look at its log and settings.")
