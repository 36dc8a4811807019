"""A worker that cannot be started, since processes or descriptors are short: it is tried again until it can."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from handlers import BUSY
from servers import Server, wait_for

FAILING = """
import errno, os, {module}

known = {module}.{name}

def fail_or_call(*given, **options):
    if os.path.exists({file!r}):
        raise OSError(errno.{number}, os.strerror(errno.{number}))
    return known(*given, **options)

{module}.{name} = fail_or_call
"""
"""For the server's processes: while the file is there, the system has no more of what the call needs."""


@pytest.fixture
def shortage(tmp_path: Path) -> Path:
    return tmp_path / "shortage"


def patched(shortage: Path, module: str, name: str, number: str) -> str:
    folder = shortage.with_name("patched")
    folder.mkdir()
    source = FAILING.format(module=module, name=name, number=number, file=str(shortage))
    (folder / "sitecustomize.py").write_text(source)
    return str(folder)


def is_told(server: Server) -> bool:
    answer = server.ping()
    return answer is not None and answer.status_code == 503 and "could not be started" in answer.text


def test_the_first_worker(serve: Callable[..., Server], shortage: Path) -> None:
    shortage.touch()
    server = serve(BUSY, PYTHONPATH=patched(shortage, "subprocess", "Popen", "EAGAIN"))
    wait_for(lambda: is_told(server))
    wait_for(lambda: server.log_text().count("the next try is in") >= 2)
    assert server.workers() == []
    shortage.unlink()
    assert server.ready().invoke("{}").status_code == 200
    assert "Traceback" not in server.log_text()


def test_the_successor_of_one_that_died_and_nothing_is_left_of_those_that_began(
    serve: Callable[..., Server], shortage: Path
) -> None:
    server = serve(BUSY, PYTHONPATH=patched(shortage, "os", "pidfd_open", "EMFILE")).ready()
    shortage.touch()
    os.kill(server.workers()[0], signal.SIGKILL)
    wait_for(lambda: is_told(server))
    shortage.unlink()
    assert server.ready().invoke("{}").status_code == 200
    assert len(server.workers()) == 1


def test_no_descriptors_are_left_when_a_worker_dies(serve: Callable[..., Server]) -> None:
    """Whatever is done for one that has ended, its successor starts once there are some."""
    server = serve(BUSY).ready()
    (worker,) = server.workers()
    supervisor = psutil.Process(server.process.pid)
    _, most = supervisor.rlimit(resource.RLIMIT_NOFILE)
    supervisor.rlimit(resource.RLIMIT_NOFILE, (1, most))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: "could not be started" in server.log_text())
    assert server.workers() == []
    supervisor.rlimit(resource.RLIMIT_NOFILE, (most, most))
    assert server.ready().invoke("{}").status_code == 200
    assert "Traceback" not in server.log_text()
