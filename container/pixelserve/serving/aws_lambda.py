"""The same handlers on AWS Lambda: `handler(event, context)` for the target `lambda` of the image.

An event is an HTTP request (of a function URL, API Gateway or a load balancer) or, called directly, the JSON that would
be the body of `POST /invocations`. Importing this module loads the model, so that it belongs to the start of a function
instance and not to its first request.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from pixelserve.errors import BadRequest, MethodNotAllowed, OutputTooLarge, PixelserveError
from pixelserve.serving import logs
from pixelserve.serving.answers import Answer, json_answer
from pixelserve.serving.context import Context
from pixelserve.serving.direct import Direct
from pixelserve.settings import settings

LARGEST_PAYLOAD = 6 * 1024 * 1024
"""Bytes of a synchronous answer; Lambda refuses larger ones without saying so to the caller."""
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"

logs.configure(settings().log_level)
_direct = Direct.load(settings())


def handler(event: dict[str, Any], context: Any) -> Any:
    """The answer to one event: for an HTTP request `{"statusCode", "headers", "body", "isBase64Encoded"}`, else JSON.

    A direct call is answered with the model's JSON, or with the error's.
    """
    is_http = "requestContext" in event or "httpMethod" in event
    try:
        answer, error = _http(event, context) if is_http else _call(json.dumps(event).encode(), {}, context), None
        _check_size(answer, is_http)
    except PixelserveError as raised:
        answer, error = json_answer(raised.body(context.aws_request_id)), raised
    if is_http:
        return _http_answer(answer, error, context.aws_request_id)
    return json.loads(b"".join(answer.parts))


def _http(event: dict[str, Any], context: Any) -> Answer:
    request = event.get("requestContext", {}).get("http", {})
    method = event.get("httpMethod") or request.get("method", "")
    path = str(event.get("path") or event.get("rawPath") or "/")
    if method == "GET" and path.endswith("/ping"):
        return json_answer({"status": "ready"})
    if method != "POST":
        raise MethodNotAllowed(f"{path} takes POST, not {method}.")
    body = event.get("body") or ""
    try:
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except ValueError as error:
        raise BadRequest("The event says isBase64Encoded, but its body is not Base64.") from error
    return _call(data, {key.lower(): value for key, value in (event.get("headers") or {}).items()}, context)


def _call(body: bytes, headers: dict[str, str], context: Any) -> Answer:
    return _direct.answer(
        body,
        Context(
            request_id=context.aws_request_id,
            custom_attributes=headers.get(ATTRIBUTES, ""),
            content_type=headers.get("content-type", "application/json"),
            accept=headers.get("accept", "application/json"),
            deadline=time.monotonic() + context.get_remaining_time_in_millis() / 1000,
        ),
    )


def _check_size(answer: Answer, is_http: bool) -> None:
    """Raises OutputTooLarge for what Lambda could not pass on, Base64 counted."""
    size = answer.size * 4 // 3 if is_http and not _is_text(answer) else answer.size
    if size > LARGEST_PAYLOAD:
        raise OutputTooLarge(
            f"The answer is {size:,} bytes as Lambda sends it, more than its {LARGEST_PAYLOAD:,}. Accept image/jpeg or "
            "image/webp, send a smaller image, or use a SageMaker endpoint."
        )


def _is_text(answer: Answer) -> bool:
    return answer.media_type.startswith(("application/json", "text/"))


def _http_answer(answer: Answer, error: PixelserveError | None, request_id: str) -> dict[str, Any]:
    body = b"".join(answer.parts)
    headers = {"content-type": answer.media_type, "x-request-id": request_id}
    if answer.attributes:
        headers[ATTRIBUTES] = answer.attributes
    if error is not None and error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return {
        "statusCode": 200 if error is None else error.status,
        "headers": headers,
        "body": body.decode() if _is_text(answer) else base64.b64encode(body).decode(),
        "isBase64Encoded": not _is_text(answer),
    }
