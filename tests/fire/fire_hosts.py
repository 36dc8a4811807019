"""Every server of ours that a stranger may reach, each with deadlines of a second, as the grid attacks it."""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from gateway_servers import gateway_running
from handlers import BUSY, SLOW_TO_LOAD
from servers import ROOT, Server, wait_for

SECONDS = "1"
MOST_BYTES = 1_000_000
RATE = 32_000
LIMITS = {
    "PIXELSERVE_SILENCE_SECONDS": SECONDS,
    "PIXELSERVE_ARRIVAL_RATE": str(RATE),
    "PIXELSERVE_MAX_BODY_BYTES": str(MOST_BYTES),
}
OF_GATEWAY = {
    "PIXELSERVE_SILENCE_SECONDS": "PIXELSERVE_GATEWAY_ARRIVAL_SECONDS",
    "PIXELSERVE_ARRIVAL_RATE": "PIXELSERVE_GATEWAY_ARRIVAL_RATE",
    "PIXELSERVE_MAX_BODY_BYTES": "PIXELSERVE_GATEWAY_MAX_BODY_BYTES",
}
"""What the gateway calls the same limits."""


Note = Callable[..., None]
"""`note(table, **figures)` keeps a row for the tables of docs/fire.md."""
ANSWER_SECONDS = 2.0
"""In which a healthy caller is answered beside attackers."""


def timed(call: Callable[[], object]) -> float:
    """The seconds that it takes."""
    began = time.monotonic()
    call()
    return time.monotonic() - began


def check_answered(seconds: Sequence[float], note: Note, host: str, beside: str) -> None:
    """Notes how long others waited: mostly no longer than they may, and nobody for ever."""
    note("others", host=host, beside=beside, median=statistics.median(seconds), slowest=max(seconds))
    assert statistics.median(seconds) < ANSWER_SECONDS
    assert max(seconds) < 10 * ANSWER_SECONDS


@dataclass
class Host:
    """`pid` is the first of its processes, `health` a path that answers 200, `post` one that takes a body.

    `large` is a request with a large answer, None where all answers are small; `healthy` the status of `health`,
    `posted` that of `{}` to `post`, and `pipelined` a request that may follow itself.
    """

    name: str
    port: int
    pid: int
    health: str
    post: str
    large: bytes | None = None
    healthy: int = 200
    posted: int = 200
    pipelined: bytes = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"

    def head(self, *lines: str, path: str = "", method: str = "POST") -> bytes:
        """A request's head, without its last line."""
        first = (f"{method} {path or self.post} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json")
        return "".join(f"{line}\r\n" for line in (*first, *lines)).encode()

    def get(self, path: str = "") -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path or self.health}", trust_env=False, timeout=30)

    def processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def watch_memory(self) -> Callable[[], dict[int, int]]:
        """Gives by how many bytes each of its processes has grown since, at most: as the kernel notes it."""
        before = {}
        for process in self.processes():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the most it had is from now on, see proc(5)
            before[process.pid] = _most_memory(process.pid)
        return lambda: {pid: max(0, _most_memory(pid) - had) for pid, had in before.items()}


def _most_memory(pid: int) -> int:
    """Bytes that a process has had at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def _of(server: Server, name: str, post: str = "/invocations", large: bytes | None = None, status: int = 200) -> Host:
    return Host(name, server.port, server.process.pid, "/ping", post, large, healthy=status, posted=status)


def _busy(path: str) -> bytes:
    body = b'{"bytes": 30000000}'
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\naccept: application/octet-stream\r\n\r\n" + body


@contextlib.contextmanager
def _worker(folder: Path, limits: Mapping[str, str] = LIMITS, within: Sequence[str] = ()) -> Iterator[Host]:
    with contextlib.closing(Server(folder, BUSY, within=within, **limits)) as server:
        server.ready()
        yield _of(server, "worker", large=_busy("/invocations"))


@contextlib.contextmanager
def _lobby(folder: Path, limits: Mapping[str, str] = LIMITS, within: Sequence[str] = ()) -> Iterator[Host]:
    with contextlib.closing(Server(folder, SLOW_TO_LOAD.format(seconds=600), within=within, **limits)) as server:
        wait_for(lambda: "it loads" in server.log_text() and server.ping())
        yield _of(server, "lobby", status=503)


@contextlib.contextmanager
def _front(folder: Path, limits: Mapping[str, str] = LIMITS, within: Sequence[str] = ()) -> Iterator[Host]:
    model = folder / "models" / "a" / "model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "inference.py").write_text("\n".join(line[4:] for line in BUSY.splitlines()))
    models = {"SAGEMAKER_MULTI_MODEL": "true", "PIXELSERVE_MODELS_DIR": str(folder / "models")}
    with contextlib.closing(Server(folder, within=within, **limits, **models)) as server:
        server.ready()
        loaded = server.client.post("/models", json={"model_name": "a", "url": str(model)})
        assert loaded.status_code == 200, loaded.text
        yield _of(server, "front", "/models/a/invoke", _busy("/models/a/invoke"))


@contextlib.contextmanager
def _runtime(folder: Path, limits: Mapping[str, str] = LIMITS, within: Sequence[str] = ()) -> Iterator[Host]:
    (folder / "busy").mkdir()
    (folder / "busy" / "inference.py").write_text("\n".join(line[4:] for line in BUSY.splitlines()))
    environ = {**os.environ, **limits, "PIXELSERVE_STATE_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "container"), str(ROOT / "deploy")])
    command = [*within, sys.executable, "-m", "pixelserve_deploy", "up", str(folder / "busy"), "--port", "0"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops it" in line:
                break
        url = re.search(r"http://[\d.]+:(\d+)", "".join(lines))
        assert url, lines
        post = "/endpoints/busy/invocations"
        try:
            ping = b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n"
            yield Host("runtime", int(url[1]), process.pid, "/ping", post, _busy(post), pipelined=ping)
        finally:
            process.terminate()
            process.communicate()


@contextlib.contextmanager
def _gateway(folder: Path, limits: Mapping[str, str] = LIMITS, within: Sequence[str] = ()) -> Iterator[Host]:
    given = {
        **{OF_GATEWAY[name]: value for name, value in limits.items()},
        "PIXELSERVE_GATEWAY_RUNTIME": "http://127.0.0.1:9",
        "PIXELSERVE_GATEWAY_STATE": str(folder / "state"),
        "PIXELSERVE_GATEWAY_ENDPOINTS": "super-resolution=image-super-resolution",
    }
    with gateway_running(folder, given, within) as gateway:
        large = b"GET /page/swagger/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\n\r\n"
        yield Host("gateway", gateway.port, gateway.pid, "/health", "/v1/jobs", large * 40, posted=400, pipelined=large)


HOSTS: dict[str, Callable[..., AbstractContextManager[Host]]] = {
    "worker": _worker,
    "lobby": _lobby,
    "front": _front,
    "runtime": _runtime,
    "gateway": _gateway,
}
"""Each takes a folder of its own, other limits, and a command that runs it, such as `prlimit`."""
