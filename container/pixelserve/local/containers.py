"""Asking an endpoint's server, with its failures in the words of the service."""

from __future__ import annotations

import asyncio

import httpx

from pixelserve.local.endpoints import PING_SECONDS, Endpoint
from pixelserve.local.faults import ACCOUNT, RuntimeFault
from pixelserve.processes import ServerFailed
from pixelserve.wire import Headers

TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


async def ask(
    client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers, seconds: float
) -> tuple[httpx.Headers, list[bytes]]:
    """The headers of the container's answer, and its body in the pieces it came in.

    Raises RuntimeFault: ModelError for any status but 2xx, a lost connection, or none within `seconds`;
    ServiceUnavailable when nothing listens.
    """
    try:
        async with asyncio.timeout(seconds):
            response, parts = await _ask(client, endpoint, body, headers)
    except TimeoutError:
        raise _model_error(endpoint, 0, TIMED_OUT) from None
    except httpx.ConnectError:
        reason = (await state_of(client, endpoint))["reason"]
        message = f"The service is unavailable. Try your call again. {reason}"
        raise RuntimeFault(503, "ServiceUnavailable", message) from None
    except httpx.TransportError:
        raise _model_error(endpoint, 0, "The container closed the connection before it had answered.") from None
    if not response.is_success:
        raise _model_error(endpoint, response.status_code, b"".join(parts).decode(errors="replace"))
    return response.headers, parts


async def _ask(
    client: httpx.AsyncClient, endpoint: Endpoint, body: bytes, headers: Headers
) -> tuple[httpx.Response, list[bytes]]:
    url = f"{endpoint.url}/invocations"
    async with client.stream("POST", url, content=body, headers=headers) as response:
        return response, [piece async for piece in response.aiter_raw()]


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


def _model_error(endpoint: Endpoint, status: int, original: str) -> RuntimeFault:
    """A container's failure in the service's words. Status 0 is the service's own for an answer that never came."""
    side = "client" if 400 <= status < 500 else "server"
    log_group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
    return RuntimeFault(
        424,
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{original}". See the log of {endpoint.name} '
        "for more information.",
        OriginalStatusCode=status,
        OriginalMessage=original,
        LogStreamArn=f"arn:aws:logs:local:{ACCOUNT}:log-group:{log_group}",
    )
