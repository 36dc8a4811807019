"""What the server adds: a trivial handler at 1, 4 and 32 connections, JSON and 1 MB bodies.

Side by side in one run, one worker each: pixelserve, the same handler under sagemaker-inference and multi-model-server
(mms), the floor (a bare ASGI app on the same uvicorn with uvloop and httptools), LitServe, and for the choice of the
HTTP server the same bare app on granian. A JSON request is {"x": 21} -> {"score": 42}; the other sends 1 MB of bytes
and gets them back (LitServe takes bytes as a file upload).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import report
from load import Load, Request, measure

HERE = Path(__file__).parent
MEGABYTE = os.urandom(1_000_000)
JSON_TYPE = "application/json"
BOUNDARY = "pixelserve-boundary"
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="x.bin"\r\n\r\n'.encode()
    + MEGABYTE
    + f"\r\n--{BOUNDARY}--\r\n".encode()
)
COMMANDS = {
    "pixelserve": [sys.executable, "-m", "pixelserve.serving"],
    "mms": [sys.executable, "-m", "pixelserve.serving"],
    "floor": [
        *(sys.executable, "-m", "uvicorn", "bare:app", "--app-dir", str(HERE / "peers"), "--port", "{port}"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"),
    ],
    "litserve": [sys.executable, str(HERE / "peers" / "litserve_app.py"), "{port}"],
    "granian": [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--no-access-log"),
        *("--log-level", "error", "--host", "127.0.0.1", "--port", "{port}", "bare:app"),
    ],
}


def free_port() -> int:
    """A port that nothing listens on, below the ones that multi-model-server takes for invalid."""
    for port in range(20_000, 32_768):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def running_process(name: str, **environ: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A running peer that answers `/ping`, or for others any request: its process and port."""
    port = free_port()
    environment = os.environ | {
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_SUBMIT_DIRECTORY": str(HERE / "peers" / "trivial"),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "PIXELSERVE_BACKEND": "mms" if name == "mms" else "native",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **environ,
    }
    command = [part.format(port=port) for part in COMMANDS[name]]
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=HERE / "peers",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_answer(port, process)
        yield process, port
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # LitServe leaves its workers behind
        process.wait()


@contextlib.contextmanager
def running(name: str, **environ: str) -> Iterator[int]:
    """The same, for its port alone."""
    with running_process(name, **environ) as (_, port):
        yield port


def wait_for_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until `/ping` is answered with anything but 503; the bare apps answer it like any other request."""
    deadline = time.monotonic() + 120
    request = urllib.request.Request(f"http://127.0.0.1:{port}/ping", headers={"Content-Type": "text/plain"})
    while time.monotonic() < deadline:
        assert process.poll() is None, "the peer ended"
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.1)
    raise AssertionError("the peer did not answer")


def request_for(name: str, body: str, port: int) -> Request:
    if body == "json":
        return Request(port, "/invocations", b'{"x": 21}', JSON_TYPE)
    if name == "litserve":
        return Request(port, "/invocations", MULTIPART, f"multipart/form-data; boundary={BOUNDARY}")
    return Request(port, "/invocations", MEGABYTE, "application/octet-stream", "application/octet-stream")


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, interleaved; the median counts")
    arguments = parser.parse_args()
    loads: dict[tuple[str, str, int], list[Load]] = {}
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(running(name)) for name in COMMANDS}
        for _ in range(arguments.rounds):
            for body in ("json", "1MB"):
                for connections in (1, 4, 32):
                    for name, port in ports.items():
                        load = measure(request_for(name, body, port), connections, arguments.seconds)
                        loads.setdefault((body, connections, name), []).append(load)
    rows = [_row(*key, runs, loads[(key[0], key[1], "floor")]) for key, runs in loads.items()]
    shown = [row | {"p50_ms": 1000 * row["seconds"]["p50"], "p99_ms": 1000 * row["seconds"]["p99"]} for row in rows]
    report.table(shown, ("body", "connections", "server", "p50_ms", "p99_ms", "per_second", "p50_to_floor", "failures"))
    report.write("serving", rows)


def _row(body: str, connections: int, name: str, runs: list[Load], floor: list[Load]) -> dict[str, Any]:
    best = sorted(runs, key=lambda run: statistics.median(run.seconds))[len(runs) // 2]
    base = statistics.median(statistics.median(run.seconds) for run in floor)
    return {
        "server": name,
        "body": body,
        "connections": connections,
        "workers": 1,
        "seconds": report.distribution(best.seconds),
        "per_second": round(statistics.median(run.per_second for run in runs), 1),
        "p50_to_floor": round(statistics.median(best.seconds) / base, 3),
        "failures": sum(sum(run.failures.values()) for run in runs),
        "sizes": {"request": 9 if body == "json" else len(MEGABYTE), "answer": best.answer_bytes},
    }


if __name__ == "__main__":
    main()
