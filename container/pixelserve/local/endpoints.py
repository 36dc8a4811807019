"""Endpoints on this machine: one server process each, as SageMaker would start it, on a loopback port of its own."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import httpx

from pixelserve.errors import BadRequest, PixelserveError, Unavailable
from pixelserve.local.sources import Source
from pixelserve.observe import LogLine, ServedNetwork, read_networks
from pixelserve.processes import START_SECONDS, ServerFailed, ServerProcess, Stop, stop_all
from pixelserve.wire import DESCRIPTOR, bind

PING_SECONDS = 2.0
HOST = "127.0.0.1"
JAVA_PORTS = range(20_000, 32_768)
"""Those that multi-model-server takes, without the low ones that others like."""
_TRIES = 100


class Endpoint:
    """One running server process. `log` is called with each line it writes, from a thread of the endpoint's own.

    Variables of `extra` take precedence over those of this process's environment. The process ends with the thread that
    made the endpoint, however that ends, so that none is ever left behind.
    `progress` holds the ids of requests whose progress is wanted, and how far they are (0 to 1) once that is told.
    """

    def __init__(
        self,
        source: Source,
        log: Callable[[Endpoint, LogLine], None] | None = None,
        extra: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = source.name
        self.progress: dict[str, float | None] = {}
        self._pass_on = log
        environment = {**os.environ, **extra}
        is_java = environment.get("PIXELSERVE_BACKEND") == "mms"
        self._listener = _reserve_port() if is_java else bind(HOST, 0, "Close other servers.")
        port = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        environment |= {
            "PIXELSERVE_HOST": HOST if is_java else f"{DESCRIPTOR}{self._listener.fileno()}",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_SUBMIT_DIRECTORY": str(source.folder),
            "SAGEMAKER_PROGRAM": source.program,
            "PYTHONUNBUFFERED": "1",
        }
        environment.setdefault("SAGEMAKER_CONTAINER_LOG_LEVEL", "10")  # payloads may be quoted: whose they are is here
        if is_java:  # its command lies beside this interpreter, whose environment need not be activated
            environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment.get("PATH", "")])
        if source.model_dir is not None:
            environment["SM_MODEL_DIR"] = str(source.model_dir)
        self.server = ServerProcess(
            self.name,
            environment,
            pass_fds=[] if is_java else [self._listener.fileno()],
            log=self._take_line,
        )
        if not is_java:
            self._listener.close()  # the server has inherited it

    def _take_line(self, line: LogLine) -> None:
        if line.progress is not None and line.progress[0] in self.progress:
            self.progress[line.progress[0]] = line.progress[1]
        if self._pass_on is not None:
            self._pass_on(self, line)

    def close(self) -> None:
        """Gives back the port that was kept for a server which binds it by itself."""
        self._listener.close()

    def check_alive(self) -> None:
        """Raises ServerFailed when the process has ended."""
        self.server.check_alive()

    def why_not_ready(self, client: httpx.Client) -> PixelserveError | None:
        """What the endpoint is waiting for, None when it is ready. Raises ServerFailed when it waits in vain."""
        try:
            ping = client.get(f"{self.url}/ping", timeout=PING_SECONDS)
        except httpx.TransportError:
            ping = None
        return self.server.why_not_ready(ping)

    def networks(self) -> list[ServedNetwork]:
        """Which networks serve, as its /metrics tell; none of a handler that does not tell, nor by the Java server."""
        try:
            return read_networks(httpx.get(f"{self.url}/metrics", timeout=PING_SECONDS, trust_env=False).text)
        except (httpx.TransportError, ValueError):
            return []


def _reserve_port() -> socket.socket:
    """A socket that keeps a port of JAVA_PORTS, and does not listen: a server that sets SO_REUSEADDR may bind it too.

    This socket sets SO_REUSEADDR only when it has the port, so that no two of them get the same one.
    """
    for port in random.sample(JAVA_PORTS, _TRIES):
        keeper = socket.socket()
        try:
            keeper.bind((HOST, port))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return keeper
    raise Unavailable(f"No port of {JAVA_PORTS[0]} to {JAVA_PORTS[-1]} is free for multi-model-server. Close others.")


@contextlib.contextmanager
def started(
    sources: Iterable[Source],
    log: Callable[[Endpoint, LogLine], None] | None = None,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[list[Endpoint]]:
    """The endpoints, started and not yet ready; all are stopped in the end. Raises BadRequest for a name used twice.

    `extra` is their environment beside this process's.
    """
    chosen = list(sources)
    names = [source.name for source in chosen]
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"Two endpoints are called {name}. Choose another name for one with NAME=FOLDER.")
    endpoints: list[Endpoint] = []
    try:
        endpoints.extend(Endpoint(source, log, extra) for source in chosen)
        yield endpoints
    finally:
        stop_all([endpoint.server for endpoint in endpoints])
        for endpoint in endpoints:
            endpoint.close()


def wait_until_ready(
    endpoints: Iterable[Endpoint],
    progress: Callable[[Endpoint, str], None] | None = None,
    seconds: float = START_SECONDS,
    stop: Stop | None = None,
) -> None:
    """Returns when every endpoint is ready; `progress` is told each change, with an empty text for ready.

    Raises ServerFailed for the first endpoint that fails or is not ready in time, Stopped when `stop` is set before.
    """
    stop = stop or Stop()
    deadline = time.monotonic() + seconds
    last: dict[Endpoint, str] = {}
    waiting = list(endpoints)
    with httpx.Client(trust_env=False) as client:
        while waiting:
            for endpoint in list(waiting):
                error = endpoint.why_not_ready(client)
                if error is None:
                    waiting.remove(endpoint)
                reason = "" if error is None else error.message
                if last.get(endpoint) != reason:
                    last[endpoint] = reason
                    if progress is not None:
                        progress(endpoint, reason)
            if waiting:
                if time.monotonic() > deadline:
                    late = waiting[0]
                    raise ServerFailed(late.name, f"It was not ready in {seconds:.0f} s: {last[late]}")
                stop.wait(0.05)
            stop.check()
