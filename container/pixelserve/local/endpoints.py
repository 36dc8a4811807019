"""Endpoints on this machine: one server process each, as SageMaker would start it, on a loopback port of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from pixelserve import features
from pixelserve.errors import BadRequest, NotFound, PixelserveError
from pixelserve.serving.command import serve_command

START_SECONDS = 480.0
"""SageMaker gives a container 8 minutes to become healthy."""
STOP_SECONDS = 30.0
"""SageMaker kills a container 30 seconds after SIGTERM."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


class EndpointFailed(PixelserveError):
    """A server process ended, or said that it will not become ready; the message has its reason and its last errors."""

    code = "endpoint_failed"


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
            return cls(checked_name(name if equals else path.name.replace("_", "-")), path)
        if equals or "/" in text or (path.is_dir() and features.find(text) is None):
            raise NotFound(f"There is no inference.py in {path}. `pixelserve new NAME` writes a handler to start from.")
        try:
            feature = features.feature(text)
        except NotFound as error:
            raise NotFound(f"{error.message} A folder with an inference.py can be served too.") from None
        return cls(feature.endpoint, features.handler_folder(feature))


def checked_name(name: str) -> str:
    """The name. Raises BadRequest when SageMaker would not take it for an endpoint."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be an endpoint's name: SageMaker takes up to 63 letters, digits and hyphens. "
            "Choose another; a folder can be served under one of your own with NAME=FOLDER."
        )
    return name


@dataclass(frozen=True)
class LogLine:
    """A line that a server wrote; `level` is Python's, or None for what a handler printed itself.

    Control characters, which a terminal would obey, are shown as \\xNN.
    """

    level: int | None
    text: str

    @classmethod
    def parse(cls, line: str) -> LogLine:
        try:
            fields = json.loads(line)
            level = logging.getLevelNamesMapping()[fields.pop("level").upper()]
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(None, harmless(line))
        message = [str(fields.pop("message", ""))]
        traceback = str(fields.pop("traceback", "")).rstrip()
        message += [f"{key}={value}" for key, value in fields.items() if key not in ("ts", "logger")]
        return cls(level, harmless(" ".join(filter(None, message)) + (f"\n{traceback}" if traceback else "")))


def harmless(text: str) -> str:
    """The text with what controls a terminal, or turns the direction of writing, shown as \\xNN."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


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
        self._log = log
        self._errors: deque[str] = deque(maxlen=5)
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            **extra,
            "PIXELSERVE_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_SUBMIT_DIRECTORY": str(source.folder),
            "SAGEMAKER_PROGRAM": "inference.py",
            "PYTHONUNBUFFERED": "1",
        }
        environment.setdefault("SAGEMAKER_CONTAINER_LOG_LEVEL", "10")  # whose payloads may be quoted is at the screen
        if source.model_dir is not None:
            environment["SM_MODEL_DIR"] = str(source.model_dir)
        self.process = subprocess.Popen(
            serve_command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_log, name=f"log of {self.name}", daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for raw in lines:
                line = LogLine.parse(raw.decode(errors="replace").rstrip("\n"))
                if line.level is None or line.level >= logging.ERROR:
                    self._errors.append(line.text)
                if self._log is not None:
                    self._log(self, line)

    def check_alive(self) -> None:
        """Raises EndpointFailed when the process has ended."""
        code = self.process.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._reader.join(1.0)
            raise self._failed(f"The server process ended ({how}).")

    def waiting_for(self, client: httpx.Client) -> str:
        """What the endpoint is waiting for, empty when it is ready. Raises EndpointFailed when it waits in vain."""
        self.check_alive()
        try:
            answer = client.get(f"{self.url}/ping", timeout=2.0)
        except httpx.TransportError:
            return "The server is starting."
        if answer.status_code == 200:
            return ""
        error = answer.json()["error"]
        if error.get("retry_after") is None:
            raise self._failed(error["message"])
        return str(error["message"])

    def _failed(self, reason: str) -> EndpointFailed:
        return EndpointFailed("\n".join([f"{self.name}: {reason}", *self._errors]))

    def stop(self, deadline: float) -> None:
        """Waits for the process to drain after SIGTERM, until `deadline` (monotonic); kills what is left then."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._reader.join(1.0)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


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
        deadline = time.monotonic() + STOP_SECONDS
        for endpoint in endpoints:
            endpoint.process.terminate()
        for endpoint in endpoints:
            endpoint.stop(deadline)


def wait_until_ready(
    endpoints: Iterable[Endpoint],
    progress: Callable[[Endpoint, str], None] | None = None,
    seconds: float = START_SECONDS,
) -> None:
    """Returns when every endpoint is ready; `progress` is told each change, with an empty text for ready.

    Raises EndpointFailed for the first endpoint that fails or is not ready in time.
    """
    deadline = time.monotonic() + seconds
    last: dict[Endpoint, str] = {}
    waiting = list(endpoints)
    with httpx.Client(trust_env=False) as client:
        while waiting:
            for endpoint in list(waiting):
                reason = endpoint.waiting_for(client)
                if last.get(endpoint) != reason:
                    last[endpoint] = reason
                    if progress is not None:
                        progress(endpoint, reason)
                if not reason:
                    waiting.remove(endpoint)
            if waiting:
                if time.monotonic() > deadline:
                    late = waiting[0]
                    raise EndpointFailed(f"{late.name} was not ready in {seconds:.0f} s: {last[late]}")
                time.sleep(0.05)
