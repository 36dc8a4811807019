"""The routes of the SageMaker container contract."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pixelserve import wire
from pixelserve.callers import Arrivals
from pixelserve.errors import (
    BadRequest,
    ClientGone,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PixelserveError,
    QueueFull,
)
from pixelserve.machine import cores
from pixelserve.media_types import JSON
from pixelserve.observe import AccessLog, Attributes, Metrics, Trace, log_failure, metrics, tracing
from pixelserve.serving.answers import WITHOUT_BODY, Answer, Buffer, json_answer
from pixelserve.serving.context import Context
from pixelserve.serving.engine import Engine
from pixelserve.serving.streams import Rest
from pixelserve.settings import Settings


class Caller(Protocol):
    """Who sent a request: what the contract asks of the connection that it came on."""

    @property
    def is_draining(self) -> bool:
        """Whether the next answer is the last one on it."""

    def answer_begins(self, size: int) -> None:
        """Called before the first byte of an answer is written, of which up to `size` bytes are held here."""

    def abort(self) -> None:
        """Cuts the connection, so that an answer which has ended too early is not taken for a whole one."""

    def watch(self, on_gone: Callable[[], None]) -> AbstractContextManager[None]:
        """While entered, `on_gone` is called when the caller hangs up."""


RequestHeaders = dict[bytes, bytes]
Route = Callable[[Caller, RequestHeaders, str, Trace, Any], Awaitable[Answer]]
"""Called with who asks, the headers, the request's id, its trace and ASGI's receive."""

ATTRIBUTES = wire.ATTRIBUTES.encode()
REQUEST_ID = wire.REQUEST_ID.encode()
READY = Answer([b'{"status":"ready"}'], JSON)
"""The answer of a healthy `/ping`."""
SLICE_BYTES = 1 << 20
"""A large answer is written in slices of this size, each after the last has left, so that it is never copied whole."""


class Contract(ABC):
    """Answers the contract's routes on a process's connections; a subclass says what `/ping` and `/invocations` do."""

    def __init__(self, settings: Settings, process_metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = process_metrics
        self._access_log = AccessLog()
        self._arrivals = new_arrivals(settings)
        self._is_local = settings.host.startswith(wire.DESCRIPTOR) or wire.is_loopback(settings.host)
        self._ping_failure = ""
        self._routes = {
            "/ping": ("GET", self._ping),
            "/invocations": ("POST", self._invocations),
            "/execution-parameters": ("GET", self._execution_parameters),
            "/metrics": ("GET", self._render_metrics),
        }

    @abstractmethod
    def ping(self) -> Answer:
        """The healthy answer. Raises Unavailable with the reason when there is none."""

    @abstractmethod
    def check_room(self) -> None:
        """Raises QueueFull when a request could not be taken; asked before its body is read."""

    @abstractmethod
    async def infer(self, caller: Caller, body: bytes, context: Context) -> Answer:
        """The model's answer to `body`."""

    def counts(self, path: str, error: PixelserveError | None) -> bool:
        """Whether this process counts a request to `path` that ended so: each is counted once."""
        return True

    def invocation_route(self, path: str) -> str:
        """The route of `path` where it is a model's, whose requests have spans; else "". There are few routes."""
        return "/invocations" if path == "/invocations" else ""

    def refused(self, status: int) -> None:
        """Counts an answer that was made before a request came here, or in place of this process."""
        self._metrics.answered(status)

    def flush_log(self) -> None:
        """Writes the lines of the access log that still wait."""
        self._access_log.flush()

    async def __call__(self, caller: Caller, scope: Any, receive: Any, send: Any) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        trace = Trace.of_request(scope["headers"], headers.get(ATTRIBUTES, b"").decode("latin-1"))
        route = self.invocation_route(scope["path"])
        if not route:
            await self._serve(caller, scope, headers, trace, receive, send)
            return
        with tracing.span(f"{scope['method']} {route}", trace, "server", _attributes(scope, route)) as span:
            span.answered(*await self._serve(caller, scope, headers, span.trace, receive, send))

    async def _serve(
        self, caller: Caller, scope: Any, headers: RequestHeaders, trace: Trace, receive: Any, send: Any
    ) -> tuple[int, str]:
        """The status, and the code of the error if it is one."""
        started = time.perf_counter()
        request_id = _request_id(headers)
        error: PixelserveError | None = None
        try:
            self._refuse_web_pages(scope)
            route = self._route(scope)
            answer = await route(caller, headers, request_id, trace, receive)
        except PixelserveError as raised:
            error = raised
        except Exception as fault:  # noqa: BLE001  a fault of ours must still be answered and logged
            log_failure(fault, request_id, "the server")
            error = PixelserveError("The server failed. The log has the details under this request id.")
        if error is not None:
            answer = json_answer(error.body(request_id))
        if not isinstance(error, ClientGone):
            await respond(caller, send, answer, request_id, error)
        status = answer.status if error is None else error.status
        if scope["path"] == "/ping":
            self._log_ping(error)
        else:
            seconds = time.perf_counter() - started
            if self.counts(scope["path"], error):
                self._metrics.request(status, seconds)
            self._access_log.add(
                request_id=request_id,
                method=scope["method"],
                path=wire.logged_path(scope),
                status=status,
                **({} if error is None else {"error": error.code}),
                ms=round(1000 * seconds, 3),
                bytes_out=answer.size if (whole := _whole_bytes(answer)) is None else whole,
                **({"traceparent": trace.parent} if trace.parent else {}),
            )
        return status, "" if error is None else error.code

    def _log_ping(self, error: PixelserveError | None) -> None:
        """One line when `/ping` begins to fail or the reason changes; none while all is well."""
        if error is not None and error.message != self._ping_failure:
            self._access_log.add(path="/ping", status=error.status, reason=error.message)
        self._ping_failure = "" if error is None else error.message

    def _refuse_web_pages(self, scope: Any) -> None:
        """Raises Forbidden for what a browser sends on behalf of a page from elsewhere to a server of this machine."""
        if self._is_local and wire.is_from_web_page(scope):
            raise Forbidden("Web pages may not call this server. Call it as 127.0.0.1 or localhost.")

    def _route(self, scope: Any) -> Route:
        path = scope["path"]
        try:
            method, route = self._routes[path]
        except KeyError:
            raise NotFound(f"There is no {path} here. Routes: {', '.join(sorted(self._routes))}.") from None
        if scope["method"] != method:
            raise MethodNotAllowed(f"{path} takes {method}, not {scope['method']}.")
        return route

    async def _ping(self, *_request: Any) -> Answer:
        return self.ping()

    async def _invocations(
        self, caller: Caller, headers: RequestHeaders, request_id: str, trace: Trace, receive: Any
    ) -> Answer:
        self.check_room()
        body = await self._read_body(headers, receive)
        context = Context(
            request_id=request_id,
            custom_attributes=headers.get(ATTRIBUTES, b"").decode("latin-1"),
            content_type=headers.get(b"content-type", b"application/json").decode("latin-1"),
            accept=headers.get(b"accept", b"*/*").decode("latin-1"),
            deadline=time.monotonic() + self._settings.timeout,
            trace=trace,
            wire_headers=headers,
        )
        return await self.infer(caller, body, context)

    async def _read_body(self, headers: RequestHeaders, receive: Any, limit: int | None = None) -> bytes:
        """The body. Raises RequestTimeout where it is slow, QueueFull where there is no room and it is the slowest."""
        with self._arrivals.hold(receive) as arriving:
            return await wire.read_body(headers, arriving.receive, limit or self._settings.max_body_bytes)

    async def _execution_parameters(self, *_request: Any) -> Answer:
        return json_answer(execution_parameters(self._settings))

    async def _render_metrics(self, *_request: Any) -> Answer:
        return Answer([await asyncio.to_thread(metrics.render)], metrics.CONTENT_TYPE)


class ModelApp(Contract):
    """The contract in a worker whose model is loaded."""

    def __init__(self, engine: Engine, settings: Settings, process_metrics: Metrics) -> None:
        super().__init__(settings, process_metrics)
        self._engine = engine

    def ping(self) -> Answer:
        return READY

    def check_room(self) -> None:
        self._engine.check_room()

    async def infer(self, caller: Caller, body: bytes, context: Context) -> Answer:
        if not body and not self._engine.takes_empty_body:
            raise BadRequest("The body is empty. Send the model's input in it.")
        ticket = self._engine.submit(body, context)
        with caller.watch(ticket.hang_up):
            return await ticket.future


def new_arrivals(settings: Settings) -> Arrivals:
    """The bodies of one model: room for as many of the largest as it has places for requests."""
    most = settings.max_body_bytes
    return Arrivals(settings.silence_seconds, settings.arrival_rate, most, most * settings.queue_length, QueueFull)


def execution_parameters(settings: Settings) -> dict[str, Any]:
    """What batch transform asks for: `{"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"}`.

    Unless the job has its own: as many transforms as keep the codecs and the device busy at once, within the service's
    100 MB for all payloads in flight; one record a request, since a record is an image.
    """
    megabytes = max(1, settings.max_body_bytes // 1_000_000)
    busy = max(1, min(settings.queue_length, 2 * cores(), 100 // megabytes))
    return {
        "MaxConcurrentTransforms": settings.max_concurrent_transforms or busy,
        "BatchStrategy": settings.batch_strategy,
        "MaxPayloadInMB": megabytes,
    }


async def respond(caller: Caller, send: Any, answer: Answer, request_id: str, error: PixelserveError | None) -> None:
    """Writes an answer; the last one on its connection when the process is draining."""
    headers: wire.Headers = [
        (b"content-type", answer.media_type.encode("latin-1")),
        (REQUEST_ID, request_id.encode()),
    ]
    rest = answer.stream if isinstance(answer.stream, Rest) else None
    whole_bytes = _whole_bytes(answer)
    if whole_bytes is not None and answer.status not in WITHOUT_BODY:
        headers.append((b"content-length", str(whole_bytes).encode()))
    if error is not None and error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    if answer.attributes:
        headers.append((ATTRIBUTES, answer.attributes.encode()))
    headers += [(name.encode(), value.encode()) for name, value in answer.headers]
    if caller.is_draining:
        headers.append((b"connection", b"close"))
    caller.answer_begins(answer.size + (0 if rest is None else rest.most_buffered))
    status = answer.status if error is None else error.status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    pieces = [piece for part in answer.parts for piece in _slices(part)] or [b""]
    for number, piece in enumerate(pieces, start=1):
        more = rest is not None or number < len(pieces)
        await send({"type": "http.response.body", "body": piece, "more_body": more})
    if rest is not None:
        await _send_rest(caller, send, rest, request_id)


def _whole_bytes(answer: Answer) -> int | None:
    """Of the whole body; None where it is made while it is sent."""
    return answer.stream.whole_bytes if isinstance(answer.stream, Rest) else answer.size


async def _send_rest(caller: Caller, send: Any, rest: Rest, request_id: str) -> None:
    """Sends the parts as they are made, each once the last has left; cuts the connection when they cannot go on."""
    try:
        with caller.watch(rest.cancel):
            async for part in rest:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except Exception as error:  # noqa: BLE001  the status has left already: it can only be told by cutting off
        if not isinstance(error, ClientGone):
            log_failure(error, request_id, "the rest of the answer")
        caller.abort()


def _slices(part: Buffer) -> Iterator[Buffer]:
    """The part as pieces of at most SLICE_BYTES, without copying; an empty part is one empty piece."""
    view = memoryview(part).cast("B")
    if len(view) <= SLICE_BYTES:
        yield part if isinstance(part, bytes) else view
        return
    for start in range(0, len(view), SLICE_BYTES):
        yield view[start : start + SLICE_BYTES]


def _attributes(scope: Any, route: str) -> Attributes:
    return {
        "http.request.method": scope["method"],
        "http.route": route,
        "url.path": wire.logged_path(scope),
        "url.scheme": scope["scheme"],
    }


_PROCESS_ID = os.urandom(10).hex()
_NUMBERS = itertools.count()


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's X-Request-Id when it is a plain token of at most 64 characters, else a new one."""
    given = headers.get(REQUEST_ID, b"")
    if 0 < len(given) <= 64 and given.isascii() and given.replace(b"-", b"").isalnum():
        return given.decode()
    return f"{_PROCESS_ID}{next(_NUMBERS):012x}"
