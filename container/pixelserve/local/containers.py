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
from pixelserve.wire import Headers, read_first


class AnswerLost(RuntimeFault):
    """The container closed the connection before it had answered."""


TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


FIRST_BYTES = 1 << 20
"""So much of an answer is read before it is passed on: what breaks off in them is told by a status."""
MOST_BYTES = 1_000_000_000
"""Of an answer that is kept whole: as many as an asynchronous endpoint takes."""


async def ask(
    client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers, seconds: float
) -> tuple[httpx.Headers, list[bytes]]:
    """The headers of the container's answer, and its body in the pieces it came in.

    Raises RuntimeFault: ModelError for any status but 2xx, more than MOST_BYTES, a lost connection, or none within
    `seconds`; ServiceUnavailable when nothing listens.
    """
    async with _explained(client, endpoint, seconds):
        response = await _begin(client, endpoint, body, headers)
        async with contextlib.aclosing(response):
            parts, is_whole = await read_first(response.aiter_raw(), MOST_BYTES + 1)
    if not is_whole:
        raise _model_error(endpoint, 0, f"The answer is larger than {MOST_BYTES:,} bytes.")
    return response.headers, parts


async def ask_and_pass_on(
    client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers, seconds: float
) -> tuple[httpx.Headers, list[bytes] | AsyncGenerator[bytes]]:
    """The same, but of a large body the pieces as they come. They raise AnswerLost where it breaks off or is late.

    `seconds` are those that the container takes, without its reader's.
    """
    deadline = _now() + seconds
    async with _explained(client, endpoint, seconds):
        response = await _begin(client, endpoint, body, headers)
        pieces = response.aiter_raw()
        try:
            first, is_whole = await read_first(pieces, FIRST_BYTES)
        except BaseException:
            await response.aclose()
            raise
    if is_whole:
        return response.headers, first
    return response.headers, _pass_on(response, first, pieces, deadline - _now())


async def _pass_on(
    response: httpx.Response, first: list[bytes], pieces: AsyncIterator[bytes], seconds: float
) -> AsyncGenerator[bytes]:
    async with contextlib.aclosing(response):
        while first:
            yield first.pop(0)
        while True:
            began = _now()
            try:
                async with asyncio.timeout(seconds):
                    piece = await anext(pieces, None)
            except (TimeoutError, httpx.TransportError):
                raise AnswerLost(502, "ModelError", "The container's answer broke off.") from None
            if piece is None:
                return
            seconds -= _now() - began
            yield piece


def _now() -> float:
    return asyncio.get_running_loop().time()


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
        original = b"".join((await read_first(response.aiter_raw(), FIRST_BYTES))[0])
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
