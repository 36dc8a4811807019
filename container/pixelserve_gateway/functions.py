"""A client of AWS Lambda: features that run as functions, from the image's target `lambda`.

A call is the event that a function URL would send, by Lambda's own API, for not every region has such URLs. Facts:
Invoke in Lambda's API reference; payload format 2.0 in its developer guide.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from urllib.parse import quote

import httpx

from pixelserve.errors import BodyTooLarge, DeadlineExceeded, PixelserveError, QueueFull, Unavailable
from pixelserve.observe import tracing
from pixelserve.wire import ATTRIBUTES, read_error
from pixelserve_gateway.runtime import Answer, Invocation, forward
from pixelserve_gateway.services import Service, Signer

_LARGEST_EVENT = 6 * 1024 * 1024
"""Bytes of a synchronous call."""


class Functions:
    """Lambda's Invoke API at `url`; requests are signed where a `signer` is given."""

    def __init__(self, url: str, signer: Signer | None = None) -> None:
        self._service = Service("AWS Lambda", url, signer)

    async def close(self) -> None:
        await self._service.close()

    async def invoke(self, name: str, invocation: Invocation, body: bytes) -> Answer:
        """The function's answer. Raises its own error, BodyTooLarge for what no event can hold, or the service's."""
        path = f"/2015-03-31/functions/{quote(name)}/invocations"
        attributes = {"http.request.method": "POST", "url.full": self._service.url + path}
        with tracing.span("POST", invocation.trace, "client", attributes) as span:
            headers = {"content-type": invocation.content_type, "accept": invocation.accept}
            event = _make_event({**headers, **forward(invocation, span.trace)}, body)
            response = await self._service.post(path, {"content-type": "application/json"}, event)
            span.answered(response.status_code)
        if not response.is_success:
            raise _read_refusal(response)
        answer = response.json()
        if "x-amz-function-error" in response.headers:
            raise _read_crash(answer)
        return _read_answer(answer)


def _make_event(headers: dict[str, str], body: bytes) -> bytes:
    event = {
        "version": "2.0",
        "rawPath": "/invocations",
        "requestContext": {"http": {"method": "POST", "path": "/invocations"}},
        "headers": headers,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    text = json.dumps(event).encode()
    if len(text) > _LARGEST_EVENT:
        raise BodyTooLarge(
            f"The request has {len(body):,} bytes, more than the 4.4 MB that a Lambda function takes. Shrink the "
            "image, or send its URL."
        )
    return text


def _read_answer(answer: Any) -> Answer:
    """Raises the container's own error, or Unavailable for what is no answer of our function."""
    try:
        status, text, headers = int(answer["statusCode"]), str(answer["body"]), dict(answer["headers"])
        body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Unavailable(
            "The function answers in a way that is not ours. Deploy the image's target `lambda`."
        ) from None
    if status >= httpx.codes.BAD_REQUEST:
        raise read_error(status, body)
    return Answer(body, headers.get("content-type", "application/octet-stream"), headers.get(ATTRIBUTES, ""))


def _read_crash(answer: Any) -> PixelserveError:
    """An error that Lambda reports of a function: it took too long, or its process ended."""
    message = str(answer.get("errorMessage", "")) if isinstance(answer, dict) else ""
    if "timed out" in message:
        return DeadlineExceeded("The function did not answer in time. Send a smaller image.", retry_after=5)
    return Unavailable("The function lost the request. Try again.", retry_after=1)


def _read_refusal(response: httpx.Response) -> PixelserveError:
    """An error of the service as ours."""
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return QueueFull("The function takes no more calls now. Try again later.", retry_after=2)
    if response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return BodyTooLarge("The function does not take a body of this size. Shrink the image, or send its URL.")
    if response.is_server_error:
        return Unavailable("The function is not available now. Try again later.", retry_after=5)
    kind = response.headers.get("x-amzn-errortype", "").partition(":")[0] or response.status_code
    return PixelserveError(f"The gateway may not call its function: {kind}. Look at its log and settings.")
