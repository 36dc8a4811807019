"""The SageMaker Runtime API on this machine, so that boto3 and the SageMaker SDK talk to local endpoints unchanged.

It answers as the service does: every failure of a container becomes HTTP 424 ModelError with the container's status and
body inside, and the container's other headers are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import uvicorn
import uvloop

import pixelserve
from pixelserve.errors import BodyTooLarge, Unavailable
from pixelserve.local.endpoints import Endpoint, EndpointFailed, LogLine, Source, started, wait_until_ready
from pixelserve.serving.app import read_body
from pixelserve.serving.context import ClientGone
from pixelserve.settings import settings

INVOCATION_SECONDS = 60.0
ACCOUNT = "000000000000"
ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PASSED_ON = (b"content-type", b"accept", ATTRIBUTES, b"x-amzn-sagemaker-inference-id")
PASSED_BACK = ("content-type", ATTRIBUTES.decode())
TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."

Answer = tuple[int, list[tuple[bytes, bytes]], list[bytes]]


class RuntimeFault(Exception):
    """An error as the service answers it: `kind` is botocore's exception, the fields are members of its shape."""

    def __init__(self, status: int, kind: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.fields = {"Message": message} | fields

    def answer(self) -> Answer:
        return _json(self.status, self.fields, [(b"x-amzn-errortype", self.kind.encode())])


class Runtime:
    """The ASGI application. `seconds` is the longest an invocation may take."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], client: httpx.AsyncClient, seconds: float = INVOCATION_SECONDS
    ) -> None:
        self._endpoints = endpoints
        self._client = client
        self._seconds = seconds
        self._body_limit = settings().max_body_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request_id = str(uuid.uuid4())
        try:
            _refuse_web_pages(scope)
            status, headers, parts = await self._route(scope, receive, request_id)
        except RuntimeFault as fault:
            status, headers, parts = fault.answer()
        except ClientGone:
            return
        headers.append((b"x-amzn-requestid", request_id.encode()))
        headers.append((b"content-length", str(sum(map(len, parts))).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    async def _route(self, scope: Any, receive: Any, request_id: str) -> Answer:
        match scope["method"], scope["path"].strip("/").split("/"):
            case "POST", ["endpoints", name, "invocations"]:
                return await self._invoke(unquote(name), dict(scope["headers"]), receive, request_id)
            case "GET", ["ping"]:
                return _json(200, {"status": "ready"})
            case "GET", [""]:
                return _json(200, await self._overview())
        raise RuntimeFault(
            404,
            "UnknownOperationException",
            f"There is no {scope['method']} {scope['path']} here. Routes: POST /endpoints/NAME/invocations, "
            "GET /ping, GET /.",
        )

    async def _invoke(self, name: str, headers: dict[bytes, bytes], receive: Any, request_id: str) -> Answer:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise RuntimeFault(
                400,
                "ValidationError",
                f"Endpoint {name} of account {ACCOUNT} not found. Endpoints here: {', '.join(self._endpoints)}.",
            )
        try:
            body = await read_body(headers, receive, self._body_limit)
        except BodyTooLarge as error:
            raise RuntimeFault(413, "413", f"Request Entity Too Large. {error.message}") from None
        passed = [(key, headers[key]) for key in PASSED_ON if key in headers]
        try:
            async with asyncio.timeout(self._seconds):
                response, parts = await self._ask(endpoint, body, [*passed, (b"x-request-id", request_id.encode())])
        except TimeoutError:
            raise _model_error(endpoint, 0, TIMED_OUT) from None
        except httpx.ConnectError:
            raise RuntimeFault(503, "ServiceUnavailable", await self._why_unreachable(endpoint)) from None
        except httpx.TransportError:
            raise _model_error(endpoint, 0, "The container closed the connection before it had answered.") from None
        if not response.is_success:
            raise _model_error(endpoint, response.status_code, b"".join(parts).decode(errors="replace"))
        back = [(key.encode(), response.headers[key].encode()) for key in PASSED_BACK if key in response.headers]
        return 200, [*back, (b"x-amzn-invoked-production-variant", b"AllTraffic")], parts

    async def _ask(
        self, endpoint: Endpoint, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> tuple[httpx.Response, list[bytes]]:
        """The container's whole answer, in the pieces it came in."""
        url = f"{endpoint.url}/invocations"
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            return response, [piece async for piece in response.aiter_raw()]

    async def _overview(self) -> dict[str, Any]:
        states = await asyncio.gather(*map(self._state, self._endpoints.values()))
        return {
            "pixelserve": pixelserve.__version__,
            "pid": os.getpid(),
            "endpoints": dict(zip(self._endpoints, states, strict=True)),
        }

    async def _state(self, endpoint: Endpoint) -> dict[str, str]:
        """`{"state": "ready" | "not ready" | "failed", "reason"}` of one endpoint."""
        try:
            endpoint.check_alive()
            answer = await self._client.get(f"{endpoint.url}/ping", timeout=2.0)
        except EndpointFailed as error:
            return {"state": "failed", "reason": error.message}
        except httpx.TransportError:
            return {"state": "not ready", "reason": "The server is starting."}
        if answer.is_success:
            return {"state": "ready", "reason": ""}
        return {"state": "not ready", "reason": answer.json()["error"]["message"]}

    async def _why_unreachable(self, endpoint: Endpoint) -> str:
        return f"The service is unavailable. Try your call again. {(await self._state(endpoint))['reason']}"


def _refuse_web_pages(scope: Any) -> None:
    """Raises RuntimeFault for what a browser sends on behalf of a page from elsewhere.

    That is a request of another origin, or to a name that some page's owner made to lead here (DNS rebinding).
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    at_loopback = scope["server"][0] in LOOPBACK
    if (
        headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site")
        or (origin is not None and _host_of(origin) not in LOOPBACK)
        or (at_loopback and _host_of(b"//" + headers.get(b"host", b"")) not in LOOPBACK)
    ):
        raise RuntimeFault(
            403, "AccessDeniedException", "Web pages may not call this runtime. Call it as 127.0.0.1 or localhost."
        )


def _host_of(address: bytes) -> str:
    try:
        return urlsplit(address.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


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


def _json(status: int, value: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    return status, [(b"content-type", b"application/json"), *headers], [json.dumps(value).encode()]


class LocalRuntime:
    """The runtime on a listening socket, served from a thread between `start` and `close`."""

    def __init__(self, endpoints: Iterable[Endpoint], listener: socket.socket) -> None:
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        host, port, *_ = listener.getsockname()
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._listener = listener
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), name="SageMaker runtime")
        self._up = threading.Event()

    def environment(self) -> dict[str, str]:
        """The variables that point boto3 and the SageMaker SDK of a process here."""
        return {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Returns when requests are answered."""
        self._thread.start()
        self._up.wait()

    def close(self) -> None:
        """Ends the thread; requests in work get a second more."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()

    async def _serve(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        headers = {"accept-encoding": "identity"}
        async with httpx.AsyncClient(trust_env=False, timeout=None, limits=limits, headers=headers) as client:
            config = uvicorn.Config(
                Runtime(self.endpoints, client),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
            self._server = uvicorn.Server(config)
            self._up.set()  # the socket listens already: what comes before the server runs waits in its backlog
            await self._server.serve([self._listener])


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Unavailable saying what to do when the port is taken or the host is not ours."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        way_out = "Choose another host." if isinstance(error, socket.gaierror) else "Choose another with --port."
        raise Unavailable(f"Cannot listen on {host}:{port}: {error.strerror}. {way_out}") from None


@contextlib.contextmanager
def running(
    sources: Iterable[Source],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    log: Callable[[Endpoint, LogLine], None] | None = None,
    progress: Callable[[Endpoint, str], None] | None = None,
) -> Iterator[LocalRuntime]:
    """The sources as ready endpoints behind a runtime; port 0 picks a free one. All of it is stopped in the end.

    Raises EndpointFailed with the reason when an endpoint does not become ready, Unavailable when the port is taken.
    """
    with bind(host, port) as listener, started(sources, log) as endpoints:
        runtime = LocalRuntime(endpoints, listener)
        runtime.start()
        try:
            wait_until_ready(endpoints, progress)
            yield runtime
        finally:
            runtime.close()
