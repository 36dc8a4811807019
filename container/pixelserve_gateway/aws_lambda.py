"""The gateway as one function of AWS Lambda, by the shape of the event.

HTTP requests of API Gateway, a function URL or a load balancer are answered. SQS messages tell of asynchronous outputs.
A schedule, which should call once a minute, does what is due. `python -m pixelserve_gateway` runs it where it finds
itself on Lambda.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from mangum import Mangum

from pixelserve.errors import BadRequest, PixelserveError
from pixelserve.observe import configure, tracing
from pixelserve.settings import SettingsError
from pixelserve_gateway.app import SERVICE, create_app
from pixelserve_gateway.auth import KEYS
from pixelserve_gateway.jobs import lambda_handler
from pixelserve_gateway.opening import Office
from pixelserve_gateway.settings import GatewaySettings

HANDLER = "pixelserve_gateway.aws_lambda.handler"
LARGEST_ANSWER = 4_400_000
"""Bytes of an answer: they travel in Base64, and Lambda's own limit is 6 MiB of that."""
_SQS = "aws:sqs"
_SCHEDULES = ("aws.events", "aws.scheduler")
"""The `source` of what EventBridge's rules and its scheduler send."""


@dataclass(frozen=True)
class Function:
    """A gateway in a function instance: what answers a request, and what does the work outside requests."""

    answer: Callable[[Any, Any], Any]
    tick: Callable[[Mapping[str, Any], Any], None]


def is_here() -> bool:
    """Whether this process is to be Lambda's runtime."""
    return "AWS_LAMBDA_RUNTIME_API" in os.environ


def read_settings(environ: Mapping[str, str] | None = None) -> GatewaySettings:
    """The environment's settings as they fit Lambda: callers are asked for keys unless they say otherwise.

    Raises SettingsError where jobs or results would be kept on the function's own disk.
    """
    settings = GatewaySettings.from_env(environ)
    if not settings.table or not settings.results.startswith("s3://"):
        raise SettingsError(
            "On AWS Lambda nothing on disk stays: name a DynamoDB table with PIXELSERVE_GATEWAY_TABLE, and "
            "s3://BUCKET/PREFIX with PIXELSERVE_GATEWAY_RESULTS."
        )
    return replace(
        settings,
        authorization=settings.authorization or KEYS,
        max_answer_bytes=min(settings.max_answer_bytes, LARGEST_ANSWER),
    )


@lru_cache(maxsize=1)
def load() -> Function:
    """The gateway that the environment describes, made once for all events. Raises PixelserveError."""
    settings = read_settings()
    configure(settings.log_level)
    tracing.configure(SERVICE)
    runner = asyncio.Runner()
    runner.get_loop()  # which Mangum takes too, so that connections are shared by all events
    app = create_app(settings, is_public=True)
    office: Office = app.state.office
    tick = lambda_handler(office.jobs.ticker, runner)
    return Function(Mangum(_with_raw_path(app), lifespan="off"), tick)


def _with_raw_path(app: Any) -> Any:
    """The application with the path's bytes in `raw_path` too, which Mangum leaves out (ASGI 3.0 allows that)."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "raw_path": quote(scope["path"]).encode("ascii")}, receive, send)

    return call


def handler(event: Any, context: Any) -> Any:
    """The answer to an HTTP event; null for messages and the schedule, when their work is done.

    Raises BadRequest for any other event.
    """
    try:
        return _handle(event if isinstance(event, dict) else {}, context)
    finally:
        tracing.flush()  # until the next event nothing runs here


def _handle(given: dict[str, Any], context: Any) -> Any:
    if "requestContext" in given or "httpMethod" in given:
        return load().answer(given, context)
    records = given.get("Records", [])
    is_queue = bool(records) and all(record.get("eventSource") == _SQS for record in records)
    if not is_queue and given.get("source") not in _SCHEDULES:
        raise BadRequest("The event is no HTTP request, no SQS messages and no schedule of EventBridge.")
    load().tick(given, context)
    return None


def main() -> int:
    """Serves events until Lambda ends the process."""
    from awslambdaric.__main__ import main as run_runtime

    try:
        load()
    except PixelserveError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 1
    run_runtime([sys.argv[0], HANDLER])
    return 0
