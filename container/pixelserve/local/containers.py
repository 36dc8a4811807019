"""Asking an endpoint's server, with its failures in the words of the service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import httpx

from pixelserve.local.endpoints import PING_SECONDS, Endpoint
from pixelserve.local.event_stream import encode_exception, encode_part
from pixelserve.local.faults import ACCOUNT, RuntimeFault
from pixelserve.processes import ServerFailed
from pixelserve.wire import Headers


class AnswerLost(RuntimeFault):
    """The container closed the connection before it had answered."""


TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


async def ask(
    client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers, seconds: float
) -> tuple[httpx.Headers, list[bytes]]:
    """The headers of the container's answer, and its body in the pieces it came in.

    Raises RuntimeFault: ModelError for any status but 2xx, a lost connection, or none within `seconds`;
    ServiceUnavailable when nothing listens.
    """
    async with _explained(client, endpoint, seconds):
        response = await _begin(client, endpoint, body, headers)
        async with contextlib.aclosing(response):
            return response.headers, [piece async for piece in response.aiter_raw()]


async def ask_for_stream(
    client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers, seconds: float
) -> httpx.Response:
    """The container's answer, as soon as it begins; the caller reads and closes it. Raises what `ask` raises."""
    async with _explained(client, endpoint, seconds):
        return await _begin(client, endpoint, body, headers)


async def _begin(client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers) -> httpx.Response:
    """The answer up to its body. Raises RuntimeFault for any status but 2xx."""
    request = client.build_request("POST", f"{endpoint.url}/invocations", content=body, headers=headers)
    response = await client.send(request, stream=True)
    if response.is_success:
        return response
    async with contextlib.aclosing(response):
        original = b"".join([piece async for piece in response.aiter_raw()])
    raise _model_error(endpoint, response.status_code, original.decode(errors="replace"))


@contextlib.asynccontextmanager
async def _explained(client: httpx.AsyncClient, endpoint: Endpoint, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _model_error(endpoint, 0, TIMED_OUT) from None
    except httpx.ConnectError:
        reason = (await state_of(client, endpoint))["reason"]
        message = f"The service is unavailable. Try your call again. {reason}"
        raise RuntimeFault(503, "ServiceUnavailable", message) from None
    except httpx.TransportError:
        message = "The container closed the connection before it had answered."
        raise _model_error(endpoint, 0, message, AnswerLost) from None


async def stream_events(response: httpx.Response, seconds: float) -> AsyncGenerator[bytes]:
    """The body of a container's answer as an event stream, piece by piece; the answer is closed in the end.

    A body that breaks off, or is not there within `seconds`, ends with a ModelStreamError, one that is given up
    (CancelledError) with an InternalStreamFailure.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    pieces = response.aiter_raw()
    async with contextlib.aclosing(response):
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(pieces, None)
            except TimeoutError:
                yield _stream_error("ModelInvocationTimeExceeded", f"The answer was not complete in {seconds:.0f} s.")
                return
            except httpx.TransportError:
                yield _stream_error("StreamBroken", "The container closed the connection before the answer's end.")
                return
            except asyncio.CancelledError:
                yield encode_exception("InternalStreamFailure", {"Message": "The runtime was stopped. Try again."})
                return
            if piece is None:
                return
            yield encode_part(piece)


def _stream_error(code: str, message: str) -> bytes:
    return encode_exception("ModelStreamError", {"Message": message, "ErrorCode": code})


async def state_of(client: httpx.AsyncClient, endpoint: Endpoint) -> dict[str, str]:
    """`{"state": "ready" | "not ready" | "failed", "reason"}` of an endpoint."""
    try:
        ping = await client.get(f"{endpoint.url}/ping", timeout=PING_SECONDS)
    except httpx.TransportError:
        ping = None
    try:
        error = endpoint.server.why_not_ready(ping)
    except ServerFailed as failure:
        return {"state": "failed", "reason": failure.message}
    return {"state": "not ready", "reason": error.message} if error else {"state": "ready", "reason": ""}


def _model_error(
    endpoint: Endpoint, status: int, original: str, kind: type[RuntimeFault] = RuntimeFault
) -> RuntimeFault:
    """A container's failure in the service's words. Status 0 is the service's own for an answer that never came."""
    side = "client" if 400 <= status < 500 else "server"
    log_group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
    return kind(
        424,
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{original}". See the log of {endpoint.name} '
        "for more information.",
        OriginalStatusCode=status,
        OriginalMessage=original,
        LogStreamArn=f"arn:aws:logs:local:{ACCOUNT}:log-group:{log_group}",
    )
