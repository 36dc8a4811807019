"""The ways to an endpoint: one here, and on AWS in real time or asynchronously. Each is a function of one request."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx

from pixelserve.errors import NotFound, PixelserveError, Unavailable
from pixelserve.local import Source, check_name, state
from pixelserve.processes import Stop
from pixelserve.wire import ATTRIBUTES, read_error
from pixelserve_deploy import console
from pixelserve_deploy.aws import AwsError, Session, make_client
from pixelserve_deploy.deployment import split_s3

SECONDS = 70.0
"""A little more than the runtime gives an invocation."""
ASYNC_SECONDS = 3600
"""The service's limit for an asynchronous invocation; a fleet that wakes from zero counts too."""
TRIES = 5
"""Of a request among many, where the endpoint is throttled or busy."""
OF_THE_REQUEST = frozenset(
    {
        "ModelError",
        "ModelNotReadyException",
        "InternalFailure",
        "InternalDependencyException",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)
"""Errors of InvokeEndpoint (API reference) after which the next request may do better."""

ModelAnswer = tuple[bytes, str]
"""The answer's body and content type."""
Choose = Callable[[Source], Source]
"""Takes what is to be served and gives it its weights."""
Told = Callable[[str], None]
Send = Callable[[bytes, dict[str, str]], ModelAnswer]
"""Takes the body and the headers Content-Type, Accept and the custom attributes. Raises InvocationFailed for this
request, and another error where no request would do better."""


class InvocationFailed(PixelserveError):
    """The endpoint answered an error; the message is its own.

    `reason` is the code of the container's error, "internal" of one that is not of our form, "" where AWS failed.
    """

    code = "invocation_failed"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def send_here(
    endpoint: str, choose: Choose, stack: ExitStack, stop: Stop, *, anew: bool, told: Told = lambda attributes: None
) -> Send:
    """Sends to a running `up`, else, and `anew`, to an endpoint started for as long as the stack is open.

    `choose` gives the source of one that is started its weights; `told` gets the custom attributes of each answer.
    """
    name = endpoint.replace("_", "-")
    url = None if anew else state.find(name)
    if url is None:
        from pixelserve.local import running

        source = choose(_open_unserved(endpoint, stack))
        if anew:
            print(
                f"Starting {source.name} with {source.model_dir or 'what is embedded'} for this call.", file=sys.stderr
            )
        else:
            print(f"No `pixelserve up` has {source.name}: starting it for this call.", file=sys.stderr)
        local = stack.enter_context(running([source], progress=console.show_starting, stop=stop))
        url, name = local.url, source.name
    client = stack.enter_context(httpx.Client(timeout=SECONDS, trust_env=False))

    def send(body: bytes, headers: dict[str, str]) -> ModelAnswer:
        try:
            answer = client.post(f"{url}/endpoints/{name}/invocations", content=body, headers=headers)
        except httpx.TransportError as error:
            raise Unavailable(f"No answer from {url}: {error or type(error).__name__}.") from None
        if not answer.is_success:
            fields = answer.json()
            raise _read_failure(fields.get("OriginalStatusCode"), fields.get("OriginalMessage"), fields["Message"])
        told(answer.headers.get("x-amzn-sagemaker-custom-attributes", ""))
        return answer.content, answer.headers.get("content-type", "")

    return send


def _open_unserved(endpoint: str, stack: ExitStack) -> Source:
    """What is to be served for a call. Raises NotFound, which names what a running `up` has."""
    from pixelserve.local import open_source

    try:
        return stack.enter_context(open_source(endpoint))
    except NotFound as error:
        served = state.list_served()
        if not served:
            raise
        raise NotFound(f"{error.message} A running `pixelserve up` has {', '.join(served)}.") from None


def send_realtime(
    name: str,
    region: str | None,
    profile: str | None,
    *,
    connections: int = 1,
    tries: int = 1,
    target: str = "",
    told: Told = lambda attributes: None,
) -> Send:
    """Sends to an endpoint on AWS, of several models to the `target`.

    An invocation is sent on one of so many `connections`, and up to `tries` times where it is throttled or AWS is busy.
    `told` gets each answer's custom attributes.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

    endpoint = check_name(name.replace("_", "-"))
    retries = {"mode": "standard", "total_max_attempts": tries}
    config = Config(read_timeout=SECONDS, retries=retries, max_pool_connections=connections)
    client = make_client("sagemaker-runtime", region, profile, config)
    fixed = {"EndpointName": endpoint, **({"TargetModel": target} if target else {})}

    def send(body: bytes, headers: dict[str, str]) -> ModelAnswer:
        try:
            answer = client.invoke_endpoint(**fixed, Body=body, **_headers_of(headers))
            told(answer.get("CustomAttributes", ""))
            return answer["Body"].read(), answer.get("ContentType", "")
        except ClientError as error:
            response = error.response
            status, original = response.get("OriginalStatusCode"), response.get("OriginalMessage")
            if original or response["Error"]["Code"] in OF_THE_REQUEST:
                raise _read_failure(status, original, str(error)) from None
            raise Unavailable(str(error)) from None
        except ReadTimeoutError:
            raise InvocationFailed(f"No answer within {SECONDS:.0f} s: an asynchronous endpoint has longer.") from None
        except BotoCoreError as error:
            raise Unavailable(str(error)) from None

    return send


def send_async(name: str, session: Session, bucket: str, prefix: str, stop: Stop, poll: float) -> Send:
    """Sends to an asynchronous endpoint by way of S3: the request lies below the prefix until it is answered."""
    endpoint = check_name(name.replace("_", "-"))
    runtime, s3 = session.client("sagemaker-runtime"), session.client("s3")

    def send(body: bytes, headers: dict[str, str]) -> ModelAnswer:
        key = f"{prefix}{uuid.uuid4()}"
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        try:
            taken = runtime.invoke_endpoint_async(
                EndpointName=endpoint,
                InputLocation=f"s3://{bucket}/{key}",
                InvocationTimeoutSeconds=ASYNC_SECONDS,
                **_headers_of(headers),
            )
            return _wait(s3, taken["OutputLocation"], taken.get("FailureLocation"), stop, poll)
        finally:
            s3.delete_object(Bucket=bucket, Key=key)

    return send


def _wait(s3: Any, output: str, failure: str | None, stop: Stop, poll: float) -> ModelAnswer:
    """What lies at `output` as soon as it does. Raises InvocationFailed with what lies at `failure`."""
    deadline = time.monotonic() + ASYNC_SECONDS
    while time.monotonic() < deadline:
        found = _fetch(s3, output)
        if found is not None:
            return found
        failed = _fetch(s3, failure) if failure else None
        if failed is not None:
            raise InvocationFailed(read_error(500, failed[0]).message)
        stop.wait(poll)
        stop.check()
    raise InvocationFailed(f"No answer within {ASYNC_SECONDS} s at {output}.")


def _fetch(s3: Any, url: str) -> ModelAnswer | None:
    bucket, key = split_s3(url)
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except AwsError as error:
        if error.reason != "NoSuchKey":
            raise
        return None
    return answer["Body"].read(), answer["ContentType"]


def _headers_of(headers: dict[str, str]) -> dict[str, str]:
    """The headers as parameters of the SageMaker Runtime."""
    named = {"ContentType": "Content-Type", "Accept": "Accept", "CustomAttributes": ATTRIBUTES}
    return {parameter: headers[header] for parameter, header in named.items() if header in headers}


def _read_failure(status: int | None, original: str | None, message: str) -> InvocationFailed:
    """The container's own message where it answered one, else the service's."""
    if not status or not original:
        return InvocationFailed(message)
    error = read_error(status, original.encode())
    return InvocationFailed(error.message, error.code)
