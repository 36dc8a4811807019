"""SIGTERM, and the death of the supervisor, at bad moments."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
from handlers import BUSY, ECHO, SLOW_TO_LOAD
from raw_http import connected
from servers import Server, wait_for


def test_workers_end_with_their_supervisor(serve: Callable[..., Server]) -> None:
    server = serve(BUSY).ready()
    workers = psutil.Process(server.process.pid).children()
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, 60)
    assert alive == []


def test_silent_connections_do_not_hold_up_the_end(serve: Callable[..., Server]) -> None:
    loading = serve(SLOW_TO_LOAD.format(seconds=60))
    wait_for(loading.ping)
    ready = serve(ECHO).ready()
    for server in (loading, ready):
        with connected(server), connected(server, b"POST /invoc"):
            server.ping()
            assert server.terminate(15) == 0


def test_requirements_that_are_being_installed_do_not_hold_up_the_end(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "inference.py").write_text("")
        (tmp_path / "requirements.txt").write_text(f"a @ http://127.0.0.1:{silent.getsockname()[1]}/a.whl\n")
        server = serve(SAGEMAKER_SUBMIT_DIRECTORY=str(tmp_path), PIXELSERVE_INSTALL_REQUIREMENTS="true")
        wait_for(lambda: (answer := server.ping()) and "Installing" in answer.text)
        assert server.terminate(15) == 0
