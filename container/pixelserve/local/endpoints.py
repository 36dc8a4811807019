"""Endpoints on this machine: one server process each, as SageMaker would start it, on a loopback port of its own."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import httpx

from pixelserve import features
from pixelserve.errors import BadRequest, NotFound, PixelserveError
from pixelserve.observe import LogLine
from pixelserve.processes import START_SECONDS, ServerFailed, ServerProcess, Stop, stop_all
from pixelserve.wire import DESCRIPTOR, bind

PING_SECONDS = 2.0
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


@dataclass(frozen=True)
class Source:
    """What to serve under `name`: the folder of a handler, and its weights in `model_dir` when it takes any."""

    name: str
    folder: Path
    model_dir: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """A feature's name, a handler's folder, or NAME=FOLDER. Raises NotFound or BadRequest saying what would do."""
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text).expanduser().resolve()
        if (path / "inference.py").is_file():
            return cls(check_name(name if equals else path.name.replace("_", "-")), path)
        if equals or "/" in text or (path.is_dir() and features.find(text) is None):
            raise NotFound(f"There is no inference.py in {path}. `pixelserve new NAME` writes a handler to start from.")
        try:
            feature = features.feature(text)
        except NotFound as error:
            raise NotFound(f"{error.message} A folder with an inference.py can be served too.") from None
        return cls(feature.endpoint, features.handler_folder(feature))


def check_name(name: str) -> str:
    """The name. Raises BadRequest when SageMaker would not take it for an endpoint."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be an endpoint's name: SageMaker takes up to 63 letters, digits and hyphens. "
            "Choose another; a folder can be served under one of your own with NAME=FOLDER."
        )
    return name


class Endpoint:
    """One running server process. `log` is called with each line it writes, from a thread of the endpoint's own.

    Variables of `extra` take precedence over those of this process's environment. The process ends with the thread that
    made the endpoint, however that ends, so that none is ever left behind.
    """

    def __init__(
        self,
        source: Source,
        log: Callable[[Endpoint, LogLine], None] | None = None,
        extra: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = source.name
        with bind("127.0.0.1", 0, "Close other servers.") as listener:  # the server inherits it
            port = listener.getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            environment = {
                **os.environ,
                **extra,
                "PIXELSERVE_HOST": f"{DESCRIPTOR}{listener.fileno()}",
                "SAGEMAKER_BIND_TO_PORT": str(port),
                "SAGEMAKER_SUBMIT_DIRECTORY": str(source.folder),
                "SAGEMAKER_PROGRAM": "inference.py",
                "PYTHONUNBUFFERED": "1",
            }
            environment.setdefault(
                "SAGEMAKER_CONTAINER_LOG_LEVEL", "10"
            )  # payloads may be quoted: whose they are is here
            if source.model_dir is not None:
                environment["SM_MODEL_DIR"] = str(source.model_dir)
            self.server = ServerProcess(
                self.name,
                environment,
                pass_fds=[listener.fileno()],
                log=partial(log, self) if log is not None else _drop,
            )

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


def _drop(_line: LogLine) -> None:
    """For an endpoint whose log nobody wants: only its last words are kept."""


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
