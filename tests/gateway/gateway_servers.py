"""The gateway as its own process, and a site with pictures."""

from __future__ import annotations

import contextlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
from drawing import picture
from servers import wait_for

from pixelserve.wire import DESCRIPTOR, bind


def png(height: int, width: int, seed: int = 0) -> bytes:
    """A small picture's file."""
    return cv2.imencode(".png", picture(height, width, seed=seed))[1].tobytes()


@dataclass
class Gateway:
    """A running gateway: its address, the file of its log, its pid, and the certificate to trust if it serves HTTPS."""

    url: str
    log: Path
    pid: int
    authority: Path | None = None

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log_text(self) -> str:
        return self.log.read_text()


@contextlib.contextmanager
def gateway_running(folder: Path, environment: Mapping[str, str], within: Sequence[str] = ()) -> Iterator[Gateway]:
    """`python -m pixelserve_gateway` on a free port, with its log in the folder, until the block ends.

    `within` is a command that runs it.
    """
    log = folder / "gateway.log"
    with bind("127.0.0.1", 0, "") as listener, log.open("wb") as output:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", "pixelserve_gateway"],
            env={**os.environ, **environment, "PIXELSERVE_GATEWAY_HOST": f"{DESCRIPTOR}{listener.fileno()}"},
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        port = listener.getsockname()[1]
        if "PIXELSERVE_GATEWAY_TLS_NAMES" in environment:
            authority = Path(environment["PIXELSERVE_GATEWAY_STATE"], "tls", "authority.pem")
            gateway = Gateway(f"https://localhost:{port}", log, process.pid, authority)
        else:
            gateway = Gateway(f"http://127.0.0.1:{port}", log, process.pid)
    try:
        wait_for(lambda: _answers(process, gateway), what="the gateway")
        yield gateway
    finally:
        process.terminate()
        assert process.wait(60) in (0, -15), log.read_text()


def _answers(process: subprocess.Popen[bytes], gateway: Gateway) -> bool:
    assert process.poll() is None, gateway.log_text()
    if gateway.authority is not None and not gateway.authority.exists():
        return False
    trusted = True if gateway.authority is None else ssl.create_default_context(cafile=str(gateway.authority))
    try:
        return httpx.get(f"{gateway.url}/health", trust_env=False, verify=trusted).is_success
    except httpx.TransportError:
        return False


@dataclass
class Pictures:
    """A site of files by path, and the paths that were asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serving_pictures(files: Mapping[str, bytes]) -> Iterator[Pictures]:
    """The files on a loopback port while the block lasts."""
    site = Pictures(files=dict(files))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            data = site.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
