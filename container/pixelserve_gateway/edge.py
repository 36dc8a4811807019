"""What every request gets, whatever its dialect: an id, a trace, CORS, an error of one shape, a line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse

from pixelserve.errors import BodyTooLarge, ClientGone, Forbidden, PixelserveError
from pixelserve.observe import Span, Trace, log_failure, tracing
from pixelserve.wire import REQUEST_ID, is_from_web_page, logged_path, read_body

logger = logging.getLogger("pixelserve_gateway")

ALLOWED_HEADERS = (
    "Content-Type, X-Amz-Date, Authorization, X-Api-Key, X-Amz-Security-Token, Accept, Idempotency-Key, Prefer, "
    "X-Request-Id, traceparent, tracestate, X-accept-language, X-source, API-User-ID"
)
ALLOWED_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
EXPOSED_HEADERS = "Location, Retry-After, X-Request-Id"
_PREFLIGHT_SECONDS = 600
_REQUEST_ID = re.compile(r"[!-~]{1,64}")
"""What SageMaker takes for an InferenceId."""

T = TypeVar("T")
Phrase = Callable[[Request, PixelserveError], JSONResponse]
"""Makes the answer of an error."""


class Edge:
    """ASGI middleware. A route finds its `request_id` and its `trace`, to be passed on, in `request.state`.

    With `refuses_web_pages` a request on behalf of a page from elsewhere is refused as `phrase` does, unless `spares`
    says of its scope that no browser can have made it.

    OPTIONS is answered here, before anybody asks who calls: a preflight carries no credentials (WHATWG Fetch, 3.3.5).
    """

    def __init__(
        self,
        app: Any,
        origins: tuple[str, ...],
        refuses_web_pages: bool,
        phrase: Phrase,
        spares: Callable[[Any], bool],
    ) -> None:
        self._app = app
        self._origins = origins
        self._refuses_web_pages = refuses_web_pages
        self._phrase = phrase
        self._spares = spares

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with _span(scope) as span:
            scope.setdefault("state", {})["trace"] = span.trace
            status = await self._answer(scope, receive, send)
            span.answered(status)
            if "route" in scope:
                span.routed(scope["method"], scope["route"].path)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> int:
        """The status that was answered."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        state = scope["state"]
        state["request_id"] = request_id = _request_id(headers)
        exchange = _Exchange(send, [*self._cross_origin(headers), (REQUEST_ID, request_id)])
        began = time.monotonic()
        try:
            if scope["method"] == "OPTIONS":
                await _answer_options(exchange)
            elif self._refuses_web_pages and is_from_web_page(scope) and not self._spares(scope):
                refusal = Forbidden("Web pages from elsewhere may not call here, where nobody is asked who calls.")
                await self._phrase(Request(scope), refusal)(scope, receive, exchange.send)
            else:
                await self._app(scope, receive, exchange.send)
        except ClientGone:
            exchange.status = ClientGone.status
        except Exception as error:  # noqa: BLE001 - a caller gets an answer whatever fails
            log_failure(error, request_id, f"{scope['method']} {logged_path(scope)}")
            if not exchange.status:
                failure = PixelserveError("The gateway failed. Its log has the details under this request id.")
                await error_response(failure, request_id)(scope, receive, exchange.send)
        finally:
            _log(scope, state, exchange.status, time.monotonic() - began)
        return exchange.status

    def _cross_origin(self, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        origin = headers.get("origin")
        if "*" in self._origins:
            allowed = [("access-control-allow-origin", "*")]
        elif origin in self._origins:
            allowed = [("access-control-allow-origin", origin), ("vary", "Origin")]
        else:
            return [("vary", "Origin")]
        return [*allowed, ("access-control-expose-headers", EXPOSED_HEADERS)]


class _Exchange:
    """The sending side of one request: adds headers to its answer, and keeps the status, 0 before there is one."""

    def __init__(self, send: Any, headers: list[tuple[str, str]]) -> None:
        self._send = send
        self._headers = headers
        self.status = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers:
                headers.append(name, value)
        await self._send(message)


async def _answer_options(exchange: _Exchange) -> None:
    allowed = {
        "access-control-allow-methods": ALLOWED_METHODS,
        "access-control-allow-headers": ALLOWED_HEADERS,
        "access-control-max-age": str(_PREFLIGHT_SECONDS),
    }
    headers = [(name.encode(), value.encode()) for name, value in allowed.items()]
    await exchange.send({"type": "http.response.start", "status": 204, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": b""})


def error_response(error: PixelserveError, request_id: str) -> JSONResponse:
    """An error as every native route answers it, with Retry-After where waiting helps."""
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return JSONResponse(error.body(request_id), error.status, headers)


async def read_request_body(request: Request, limit: int) -> bytes:
    """The body. Raises BodyTooLarge above `limit` bytes, ClientGone when it ends early."""
    try:
        return await read_body(dict(request.scope["headers"]), request.receive, limit)
    except BodyTooLarge:
        raise BodyTooLarge(
            f"The body is larger than {limit:,} bytes. Send the image's URL, or shrink or compress the image."
        ) from None


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` makes, or ClientGone: it is canceled when its caller goes. The body has been read before."""
    working, going = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone("The client closed the connection before its answer was there.")
    finally:
        working.cancel()
        going.cancel()
        await asyncio.gather(working, going, return_exceptions=True)


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _span(scope: Any) -> Span:
    attributes = {
        "http.request.method": scope["method"],
        "url.path": logged_path(scope),
        "url.scheme": scope["scheme"],
    }
    return tracing.span(scope["method"], Trace.of_request(scope["headers"]), "server", attributes)


def _log(scope: Any, state: Mapping[str, Any], status: int, seconds: float) -> None:
    fields = {
        "request_id": state["request_id"],
        "traceparent": state["trace"].parent,
        "method": scope["method"],
        "path": logged_path(scope),
        "status": status,
        "ms": round(1000 * seconds, 1),
    }
    logger.info("request", extra={"fields": fields})
