"""The same handlers on AWS Lambda: `handler(event, context)` for the target `lambda` of the image.

An event is an HTTP request (of a function URL, API Gateway or a load balancer) or, called directly, the JSON that would
be the body of `POST /invocations`. `python -m pixelserve.serving.aws_lambda` is the runtime: it loads the model before
it asks for the first event, so that loading belongs to the start of a function instance, not to its first request.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from functools import lru_cache
from typing import Any

from pixelserve.errors import BadRequest, MethodNotAllowed, NotAcceptable, OutputTooLarge, PixelserveError
from pixelserve.media_types import JSON
from pixelserve.observe import configure, tracing
from pixelserve.serving.answers import Answer, json_answer
from pixelserve.serving.context import Context
from pixelserve.serving.direct import Direct
from pixelserve.settings import settings
from pixelserve.wire import ATTRIBUTES, REQUEST_ID

LARGEST_PAYLOAD = 6 * 1024 * 1024
"""Bytes of a synchronous answer; Lambda refuses larger ones without saying so to the caller."""
SECONDS_TO_ANSWER = 0.5
"""Before Lambda ends the function, so that a time-out is told and not only suffered."""
HANDLER = "pixelserve.serving.aws_lambda.handler"


@lru_cache(maxsize=1)
def load() -> Direct:
    """The handler that the settings choose, its model loaded once. Raises HandlerError or OutOfMemory."""
    configure(settings().log_level)
    tracing.configure()
    return Direct.load(settings())


def handler(event: Any, context: Any) -> Any:
    """The answer to one event: for an HTTP request `{"statusCode", "headers", "body", "isBase64Encoded"}`, else JSON.

    A direct call is answered with the model's JSON, or with the error's.
    """
    try:
        return _handle(event, context)
    finally:
        tracing.flush()  # until the next event nothing runs here


def _handle(event: Any, context: Any) -> Any:
    is_http = isinstance(event, dict) and ("requestContext" in event or "httpMethod" in event)
    try:
        if not is_http:
            return _value(_call(json.dumps(event).encode(), {"content-type": JSON}, context))
        answer, error = _http(event, context), None
        _check_size(len(_encoded(answer)[0]))
    except PixelserveError as raised:
        body = raised.body(context.aws_request_id)
        if not is_http:
            return body
        answer, error = json_answer(body), raised
    return _http_answer(answer, error, context.aws_request_id, "multiValueHeaders" in event)


def _http(event: dict[str, Any], context: Any) -> Answer:
    """Raises BadRequest for an event that is not of the form that API Gateway, function URLs or load balancers send."""
    request = _part(_part(event, "requestContext", dict), "http", dict)
    method = event.get("httpMethod") or request.get("method", "")
    path = str(event.get("path") or event.get("rawPath") or "/")
    if method == "GET" and path.endswith("/ping"):
        return json_answer({"status": "ready"})
    if method != "POST":
        raise MethodNotAllowed(f"{path} takes POST, not {method}.")
    body = _part(event, "body", str)
    try:
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except ValueError as error:
        raise BadRequest("The event says isBase64Encoded, but its body is not Base64.") from error
    several = _part(event, "multiValueHeaders", dict)
    headers = {key: values[-1] for key, values in several.items() if values} | _part(event, "headers", dict)
    return _call(data, {str(key).lower(): str(value) for key, value in headers.items()}, context)


def _part(event: dict[str, Any], name: str, kind: type[Any]) -> Any:
    """A member of the event, empty when it is null or absent. Raises BadRequest for one of another type."""
    value = event.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise BadRequest(f"The event's {name} is {type(value).__name__}, not {kind.__name__}.", param=name)
    return value


def _call(body: bytes, headers: dict[str, str], context: Any) -> Answer:
    seconds = context.get_remaining_time_in_millis() / 1000 - SECONDS_TO_ANSWER
    direct = load()
    accept = JSON if direct.is_pipelined else "*/*"
    return direct.answer(body, Context.from_headers(headers, context.aws_request_id, seconds, accept))


def _value(answer: Answer) -> Any:
    """The JSON value of an answer. Raises NotAcceptable for one that is no JSON, OutputTooLarge."""
    try:
        value = json.loads(b"".join(answer.parts))
    except ValueError:
        raise NotAcceptable(
            f"The model answers {answer.media_type}: call it by HTTP, a direct call takes JSON."
        ) from None
    _check_size(len(json.dumps(value)))
    return value


def _encoded(answer: Answer) -> tuple[str, bool]:
    """The body as an event may carry it, and whether it is Base64."""
    body = b"".join(answer.parts)
    if answer.media_type.startswith((JSON, "text/")):
        with contextlib.suppress(UnicodeDecodeError):
            return body.decode(), False
    return base64.b64encode(body).decode(), True


def _check_size(size: int) -> None:
    """Raises OutputTooLarge for what Lambda could not pass on."""
    if size > LARGEST_PAYLOAD:
        raise OutputTooLarge(
            f"The answer is {size:,} bytes as Lambda sends it, more than its {LARGEST_PAYLOAD:,}. Accept image/jpeg or "
            "image/webp, send a smaller image, or use a SageMaker endpoint."
        )


def _http_answer(answer: Answer, error: PixelserveError | None, request_id: str, several: bool) -> dict[str, Any]:
    """The answer as an event; `several` as load balancers want headers that may have several values."""
    body, is_base64 = _encoded(answer)
    headers = dict(answer.headers) | {"content-type": answer.media_type, REQUEST_ID: request_id}
    if answer.attributes:
        headers[ATTRIBUTES] = answer.attributes
    if error is not None and error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    multiple = {"multiValueHeaders": {key: [value] for key, value in headers.items()}} if several else {}
    return {
        "statusCode": answer.status if error is None else error.status,
        "headers": headers,
        **multiple,
        "body": body,
        "isBase64Encoded": is_base64,
    }


def main() -> None:
    """Loads the model, then serves events until Lambda ends the process."""
    from awslambdaric.__main__ import main as run_runtime

    from pixelserve.serving import aws_lambda  # by its name: the runtime looks the handler up there, not in __main__

    try:
        aws_lambda.load()
    except PixelserveError as error:
        sys.exit(f"The model did not load: {error.message}")
    run_runtime([sys.argv[0], HANDLER])


if __name__ == "__main__":
    main()
