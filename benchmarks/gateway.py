"""What the gateway adds to a call: a 1 MB image as a file, in a form and in Base64, and a small one in JSON.

Side by side in one run, one process each, at 1, 4 and 32 connections: the gateway, a plain proxy of Starlette and
httpx, and the same request sent directly. Behind all stands an endpoint that answers at once, an image with itself and
JSON with a vector (peers/runtime.py): the time of a model would hide what is measured here. The proxy passes on what
the gateway decodes, checks and logs.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import report
from load import Load, Request, measure
from serving import BOUNDARY, free_port, wait_for_answer

PEERS = Path(__file__).parent / "peers"
UVICORN = [
    sys.executable,
    "-m",
    "uvicorn",
    "--app-dir",
    str(PEERS),
    "--no-access-log",
    "--log-level",
    "error",
    "--port",
]


def noise(edge: int) -> bytes:
    """The file of a square picture that no codec makes smaller."""
    pixels = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def in_form(image: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def in_json(image: bytes) -> bytes:
    return json.dumps({"img": base64.b64encode(image).decode()}).encode()


LARGE, SMALL = noise(577), noise(16)
ENLARGED, VECTOR = "/v1/super-resolution", "/v1/similarity"
BODIES: dict[str, tuple[str, bytes, str, str]] = {
    "image": (ENLARGED, LARGE, "image/png", "image/png"),
    "form": (ENLARGED, in_form(LARGE), f"multipart/form-data; boundary={BOUNDARY}", "image/png"),
    "Base64": (ENLARGED, in_json(LARGE), "application/json", "image/png"),
    "small JSON": (VECTOR, in_json(SMALL), "application/json", "application/json"),
}
"""Path, body, its type, and the answer's."""


@dataclass(frozen=True)
class Server:
    """A running process, and the port it answers on."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """What it has computed so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@dataclass(frozen=True)
class Measured:
    """A load, and the seconds that the server computed for each of its requests."""

    load: Load
    cpu: float

    @property
    def p50(self) -> float:
        return statistics.median(self.load.seconds)


@contextlib.contextmanager
def running(command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[Server]:
    """A server that answers on the port."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_answer(port, process)
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def all_running() -> Iterator[dict[str, Server]]:
    """The three, in front of the same endpoint."""
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(running([*UVICORN, str(port := free_port()), "runtime:app"], port, {}))
        url = f"http://127.0.0.1:{direct.port}"
        proxy = stack.enter_context(running([*UVICORN, str(port := free_port()), "proxy:app"], port, {"RUNTIME": url}))
        environment = {
            "PIXELSERVE_GATEWAY_RUNTIME": url,
            "PIXELSERVE_GATEWAY_PORT": str(port := free_port()),
            "PIXELSERVE_GATEWAY_STATE": stack.enter_context(tempfile.TemporaryDirectory()),
        }
        gateway = stack.enter_context(running([sys.executable, "-m", "pixelserve_gateway"], port, environment))
        yield {"direct": direct, "proxy": proxy, "gateway": gateway}


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, interleaved; the median counts")
    arguments = parser.parse_args()
    runs: dict[tuple[str, int, str], list[Measured]] = {}
    with all_running() as servers:
        for _ in range(arguments.rounds):
            for body, connections, (name, server) in itertools.product(BODIES, (1, 4, 32), servers.items()):
                measured = measure_server(server, body, connections, arguments.seconds)
                runs.setdefault((body, connections, name), []).append(measured)
    rows = [_row(body, connections, name, runs) for body, connections, name in runs]
    print(report.machine()["cpu"])
    shown = [row | {"p50_ms": 1000 * row["seconds"]["p50"]} for row in rows]
    columns = ("body", "connections", "server", "p50_ms", "p50_to_proxy", "cpu_ms", "cpu_to_proxy", "per_second")
    report.table(shown, (*columns, "failures"))
    report.write("gateway", rows)


def measure_server(server: Server, body: str, connections: int, seconds: float) -> Measured:
    """The same request over and over."""
    path, content, content_type, accept = BODIES[body]
    began = server.cpu_seconds()
    load = measure(Request(server.port, path, content, content_type, accept), connections, seconds, warm_up=0)
    return Measured(load, (server.cpu_seconds() - began) / len(load.seconds))


def _row(body: str, connections: int, name: str, runs: Mapping[tuple[str, int, str], list[Measured]]) -> dict[str, Any]:
    """The median run, and its ratios to the median run of the proxy."""
    own, proxy = (_median(runs[body, connections, server]) for server in (name, "proxy"))
    return {
        "server": name,
        "body": body,
        "connections": connections,
        "seconds": report.distribution(own.load.seconds),
        "per_second": round(own.load.per_second, 1),
        "p50_to_proxy": round(own.p50 / proxy.p50, 2),
        "cpu_ms": round(1000 * own.cpu, 2),
        "cpu_to_proxy": round(own.cpu / proxy.cpu, 2),
        "failures": sum(sum(run.load.failures.values()) for run in runs[body, connections, name]),
        "sizes": {"request": len(BODIES[body][1]), "answer": own.load.answer_bytes},
    }


def _median(runs: list[Measured]) -> Measured:
    return sorted(runs, key=lambda run: run.p50)[len(runs) // 2]


if __name__ == "__main__":
    main()
