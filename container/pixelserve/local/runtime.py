"""The SageMaker Runtime API on this machine, so that boto3 and the SageMaker SDK talk to local endpoints unchanged.

It answers as the service does: every failure of a container becomes HTTP 424 ModelError with the container's status and
body inside, and the container's other headers are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx
import uvicorn
import uvloop

import pixelserve
from pixelserve.callers import Arrivals, ArrivalsMiddleware, Connection, Unread
from pixelserve.errors import BodyTooLarge, ClientGone, RequestTimeout, Unavailable
from pixelserve.local.asynchronous import MOST_SECONDS, AsyncInvocations, AsyncPlaces
from pixelserve.local.containers import AnswerLost, ask_and_pass_on, ask_for_stream, state_of, stream_events
from pixelserve.local.endpoints import Endpoint, started, wait_until_ready
from pixelserve.local.event_stream import MEDIA_TYPE
from pixelserve.local.faults import ACCOUNT, Reply, RuntimeFault, ValidationError, json_reply
from pixelserve.local.headers import PREFIX, VARIANT, passed_on
from pixelserve.local.sources import Source
from pixelserve.machine import raise_file_limit
from pixelserve.observe import LogLine
from pixelserve.processes import Stop, stop_all
from pixelserve.settings import settings
from pixelserve.wire import ATTRIBUTES, Headers, bind, is_from_web_page, read_body, url_of

T = TypeVar("T")

INVOCATION_SECONDS = 60.0
STREAM_SECONDS = 480.0
"""The service's limit for an answer that streams; its beginning must be there within INVOCATION_SECONDS."""
TIMEOUT = "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS"
START_LOOK_SECONDS = 0.1
PORT_TAKEN = "Choose another with --port."
PASSED_BACK = ("content-type", ATTRIBUTES)
ASYNC_SUFFIX = "-async"
"""Of an asynchronous endpoint's name: on AWS an endpoint is real-time or asynchronous, so here one server has two."""


class Runtime:
    """The ASGI application.

    `seconds` is the longest an invocation may take, unless it is an asynchronous one, or until its stream begins;
    `stream_seconds` the longest that one may take then.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        client: httpx.AsyncClient,
        seconds: float = INVOCATION_SECONDS,
        stream_seconds: float = STREAM_SECONDS,
        asynchronous: AsyncInvocations | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._client = client
        self._seconds = seconds
        self._stream_seconds = stream_seconds
        self._asynchronous = asynchronous
        self._body_limit = settings().max_body_bytes
        self._answering: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            await self._answer(scope, receive, send)
        except (ClientGone, AnswerLost, asyncio.CancelledError):  # the last by `give_up`: the answer is cut off
            return
        finally:
            self._answering.discard(task)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        request_id = str(uuid.uuid4())
        status, headers, parts = await self._reply(scope, receive, request_id)
        headers.append((b"x-amzn-requestid", request_id.encode()))
        if isinstance(parts, list):
            headers.append((b"content-length", str(sum(map(len, parts))).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if isinstance(parts, list):
            for number, part in enumerate(parts, start=1):
                await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})
        else:
            await _send_stream(parts, receive, send)

    async def _reply(self, scope: Any, receive: Any, request_id: str) -> Reply:
        try:
            _refuse_web_pages(scope)
            return await self._route(scope, receive, request_id)
        except RuntimeFault as fault:
            return fault.reply()
        except (RequestTimeout, Unavailable) as error:
            return RuntimeFault(error.status, type(error).__name__, error.message).reply(error.retry_after)
        except asyncio.CancelledError:  # by `give_up`
            return RuntimeFault(503, "ServiceUnavailable", "The runtime was stopped. Try your call again.").reply()

    async def give_up(self, seconds: float) -> None:
        """Ends what is not done within `seconds`: requests in work are answered 503, answers are cut off."""
        if self._answering:
            await asyncio.wait(self._answering, timeout=seconds)
        for answering in self._answering:
            answering.cancel()

    async def _route(self, scope: Any, receive: Any, request_id: str) -> Reply:
        match scope["method"], scope["path"].strip("/").split("/"):
            case "POST", ["endpoints", name, "invocations"]:
                return await self._invoke(unquote(name), dict(scope["headers"]), receive, request_id)
            case "POST", ["endpoints", name, "invocations-response-stream"]:
                return await self._invoke_stream(unquote(name), dict(scope["headers"]), receive, request_id)
            case "POST", ["endpoints", name, "async-invocations"]:
                return await self._invoke_async(unquote(name), dict(scope["headers"]), receive)
            case "GET", ["async-invocations", _, *_] if self._asynchronous is not None:  # ours: the service has no such
                return json_reply(200, self._asynchronous.look(scope["path"].removeprefix("/async-invocations/")))
            case "GET", ["ping"]:
                return json_reply(200, {"status": "ready"})
            case "GET", [""]:
                return json_reply(200, await self._overview())
        raise RuntimeFault(
            404,
            "UnknownOperationException",
            f"There is no {scope['method']} {scope['path']} here. Routes: POST /endpoints/NAME/invocations, "
            "POST /endpoints/NAME/invocations-response-stream, POST /endpoints/NAME/async-invocations, "
            "GET /async-invocations/ID, GET /ping, GET /.",
        )

    def _endpoint(self, name: str) -> Endpoint:
        if name in self._endpoints:
            return self._endpoints[name]
        real_time = name.removesuffix(ASYNC_SUFFIX)
        if real_time in self._endpoints and self._asynchronous is not None:
            raise ValidationError(f"Endpoint {name} is asynchronous. Its real-time one is {real_time}.")
        raise ValidationError(
            f"Endpoint {name} of account {ACCOUNT} not found. Endpoints here: {', '.join(self._names())}."
        )

    def _async_endpoint(self, name: str) -> tuple[Endpoint, AsyncInvocations]:
        real_time = name.removesuffix(ASYNC_SUFFIX)
        if self._asynchronous is None:
            self._endpoint(real_time)
            raise ValidationError(
                f"Endpoint {name} is not asynchronous. Start it with `pixelserve up --async-output PLACE`."
            )
        if name != real_time and real_time in self._endpoints:
            return self._endpoints[real_time], self._asynchronous
        self._endpoint(name)
        raise ValidationError(f"Endpoint {name} is not asynchronous. Its asynchronous one is {name}{ASYNC_SUFFIX}.")

    def _names(self) -> list[str]:
        suffixes = ("", ASYNC_SUFFIX) if self._asynchronous is not None else ("",)
        return [name + suffix for name in self._endpoints for suffix in suffixes]

    async def _invoke(self, name: str, given: dict[bytes, bytes], receive: Any, request_id: str) -> Reply:
        endpoint = self._endpoint(name)
        headers = [*passed_on(name, given), (b"x-request-id", request_id.encode())]
        body = await self._read(given, receive)
        answered, parts = await ask_and_pass_on(self._client, endpoint, body, headers, self._seconds)
        back = _passed_back(answered)
        if "content-length" in answered and not isinstance(parts, list):
            back.append((b"content-length", answered["content-length"].encode()))
        return 200, back, parts

    async def _invoke_stream(self, name: str, given: dict[bytes, bytes], receive: Any, request_id: str) -> Reply:
        endpoint = self._endpoint(name)
        headers = [*passed_on(name, given, [b"accept"]), (b"x-request-id", request_id.encode())]
        body = await self._read(given, receive)
        response = await ask_for_stream(self._client, endpoint, body, headers, self._seconds)
        back = [
            (PREFIX + key if key == b"content-type" else key, value) for key, value in _passed_back(response.headers)
        ]
        back.append((b"content-type", MEDIA_TYPE.encode()))
        return 200, back, stream_events(response, self._stream_seconds)

    async def _read(self, given: dict[bytes, bytes], receive: Any) -> bytes:
        try:
            return await read_body(given, receive, self._body_limit)
        except BodyTooLarge as error:
            raise RuntimeFault(413, "413", f"Request Entity Too Large. {error.message}") from None

    async def _invoke_async(self, name: str, headers: dict[bytes, bytes], receive: Any) -> Reply:
        endpoint, asynchronous = self._async_endpoint(name)
        return await asynchronous.take(endpoint, headers, receive)

    async def _overview(self) -> dict[str, Any]:
        states = await asyncio.gather(*(state_of(self._client, endpoint) for endpoint in self._endpoints.values()))
        return {
            "pixelserve": pixelserve.__version__,
            "pid": os.getpid(),
            "endpoints": dict(zip(self._endpoints, states, strict=True)),
        }


def _passed_back(answered: httpx.Headers) -> Headers:
    back = [(key.encode(), answered[key].encode()) for key in PASSED_BACK if key in answered]
    return [*back, (b"x-amzn-invoked-production-variant", VARIANT.encode())]


async def _send_stream(parts: AsyncGenerator[bytes], receive: Any, send: Any) -> None:
    """Sends the parts as they come. When the caller hangs up, the wait for the next part ends at once."""
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(receive())  # the body is read: what comes now is the end
    gone.add_done_callback(lambda _: task.cancel())
    try:
        async for part in parts:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        await parts.aclose()


def _refuse_web_pages(scope: Any) -> None:
    """Raises RuntimeFault for what a browser sends on behalf of a page from elsewhere."""
    if is_from_web_page(scope):
        raise RuntimeFault(
            403, "AccessDeniedException", "Web pages may not call this runtime. Call it as 127.0.0.1 or localhost."
        )


class LocalRuntime:
    """The runtime on a listening socket, served from a thread between `start` and `close`."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        listener: socket.socket,
        places: AsyncPlaces | None = None,
        make: Callable[[Source], Endpoint] = Endpoint,
    ) -> None:
        self._started, self._make = endpoints, make
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.url = url_of(listener)
        self._listener = listener
        self._places = places
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), name="SageMaker runtime")
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event

    def environment(self) -> dict[str, str]:
        """The variables that point boto3 and the SageMaker SDK of a process here."""
        return {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def restart(
        self, source: Source, progress: Callable[[Endpoint, str], None] | None = None, stop: Stop | None = None
    ) -> None:
        """Starts the source anew, and puts it in the place of the endpoint of its name once it is ready.

        Until then the old server answers. Raises ServerFailed when the new one does not become ready: the old one
        stays; and Stopped.
        """
        new = leaving = self._make(source)
        self._started.append(new)
        try:
            wait_until_ready([new], progress, stop=stop)
            leaving, self.endpoints[source.name] = self.endpoints[source.name], new
        finally:
            self._started.remove(leaving)
            stop_all([leaving.server])
            leaving.close()

    def start(self) -> None:
        """Returns when requests are answered. Raises Unavailable when the thread ends instead."""
        self._thread.start()
        while not self._up.wait(START_LOOK_SECONDS):
            if not self._thread.is_alive():
                raise Unavailable("The local runtime did not start. The lines above say why.")

    def close(self) -> None:
        """Ends the thread; requests in work get a second more, asynchronous ones get their failure file."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _serve(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        headers = {"accept-encoding": "identity"}
        async with httpx.AsyncClient(trust_env=False, timeout=None, limits=limits, headers=headers) as client:
            asynchronous = AsyncInvocations(self._places, client) if self._places else None
            runtime = Runtime(self.endpoints, client, asynchronous=asynchronous)
            chosen = settings()
            seconds, rate, most = chosen.silence_seconds, chosen.arrival_rate, chosen.max_body_bytes
            room = most * chosen.queue_length
            arrivals = Arrivals(seconds, rate, most, room, Unavailable)
            config = uvicorn.Config(
                ArrivalsMiddleware(runtime, arrivals),
                http=partial(Connection, seconds, rate, raise_file_limit() // 3, Unread(room)),  # type: ignore[arg-type]
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([self._listener]))
            self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
            self._up.set()  # the socket listens already: what comes before the server runs waits in its backlog
            closing = asyncio.create_task(self._closing.wait())
            await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off now is meant to be
            await runtime.give_up(1.0)
            server.should_exit = True
            await serving
            if asynchronous is not None:
                await asynchronous.close()


@contextlib.contextmanager
def running(
    sources: Iterable[Source],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log: Callable[[Endpoint, LogLine], None] | None = None,
    progress: Callable[[Endpoint, str], None] | None = None,
    places: AsyncPlaces | None = None,
    stop: Stop | None = None,
) -> Iterator[LocalRuntime]:
    """The sources as ready endpoints behind a runtime; port 0 picks a free one. All of it is stopped in the end.

    With `places` there is an asynchronous NAME-async beside each NAME, on the same server, which allows an invocation
    the longest time of those.
    Raises ServerFailed with the reason when an endpoint does not become ready, Unavailable when the port is taken,
    Stopped when `stop` is set before all are ready.
    """
    environment = {TIMEOUT: os.environ.get(TIMEOUT) or str(MOST_SECONDS)} if places else {}
    with bind(host, port, PORT_TAKEN) as listener, started(sources, log, environment) as endpoints:
        runtime = LocalRuntime(endpoints, listener, places, lambda source: Endpoint(source, log, environment))
        runtime.start()
        try:
            wait_until_ready(endpoints, progress, stop=stop)
            yield runtime
        finally:
            runtime.close()
