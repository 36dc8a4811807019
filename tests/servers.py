"""Real server processes for tests: a handler's text in, HTTP on a loopback port out."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[1]


def wait_for(condition: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
    """The condition's first true value. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what or condition} did not come true in {seconds} s")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that the system gives to nobody who asks for any port."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))) as own:
            return int(own.getsockname()[1])


def unshared(*kinds: str) -> list[str]:
    """A command within which others run in namespaces of their own, as root. Skips the test where there may be none."""
    for user in (["--user", "--map-root-user"], []):
        command = ["unshare", *user, *kinds]
        with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):
            subprocess.run([*command, "true"], check=True, capture_output=True)
            return command
    pytest.skip("needs namespaces: root, or sysctl kernel.apparmor_restrict_unprivileged_userns=0")


def in_threads(count: int, call: Callable[[], object]) -> list[threading.Thread]:
    """`call` in so many threads, started."""
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


class Served(ABC):
    """What a test asks of a server, wherever it runs."""

    url: str
    client: httpx.Client

    @abstractmethod
    def runs(self) -> bool:
        """Whether it has not ended."""

    @abstractmethod
    def log_text(self) -> str:
        """What it has written so far."""

    def ping(self) -> httpx.Response | None:
        """`/ping` on a connection of its own; None while nothing listens."""
        try:
            return httpx.get(f"{self.url}/ping", timeout=10, trust_env=False)
        except httpx.TransportError:
            return None

    def ready(self, seconds: float = 90.0) -> Self:
        """Waits for a healthy `/ping`."""

        def is_ready() -> bool:
            assert self.runs(), self.log_text()
            answer = self.ping()
            return answer is not None and answer.status_code == 200

        wait_for(is_ready, seconds, "ready")
        return self

    def invoke(self, body: bytes | str, content_type: str = "application/json", **headers: str) -> httpx.Response:
        given = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post("/invocations", content=body, headers=given)


class Server(Served):
    """`python -m pixelserve.serving` with its environment, in a session of its own; stopped by `close`.

    `files` lie in code/ of its model; `within` is a command that runs it, such as `prlimit --nofile=150`.
    """

    def __init__(
        self,
        folder: Path,
        handler: str | None = None,
        files: dict[str, str] | None = None,
        within: Sequence[str] = (),
        **environ: str,
    ) -> None:
        self.port = int(environ.get("SAGEMAKER_BIND_TO_PORT") or free_port())
        env = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(self.port), "SM_MODEL_DIR": str(folder / "model")}
        env |= environ
        first = environ.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join(
            [*([first] if first else []), str(ROOT / "container"), str(ROOT / "deploy")]
        )
        self.model_path = str(folder / "model")
        for name, text in (files or {}).items():
            (folder / "model" / "code").mkdir(parents=True, exist_ok=True)
            (folder / "model" / "code" / name).write_text(text)
        if handler is not None:
            (folder / "handler").mkdir(exist_ok=True)
            (folder / "handler" / "inference.py").write_text(textwrap.dedent(handler))
            env["SAGEMAKER_SUBMIT_DIRECTORY"] = str(folder / "handler")
        self.log_path = folder / "server.log"
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "pixelserve.serving"],
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def workers(self) -> list[int]:
        """The pids of the worker processes."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def loaded(self) -> int:
        """How many times a worker has become ready."""
        return len(re.findall(r"worker \d+ ready", self.log_path.read_text()))

    def log_text(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text()

    def processes(self, word: str) -> list[int]:
        """Pids of its processes, itself included, whose command line has the word."""
        own = psutil.Process(self.process.pid)
        found = []
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                if word in " ".join(process.cmdline()):
                    found.append(process.pid)
        return found

    def exit_code(self, seconds: float = 60) -> int:
        """Waits for its end."""
        return self.process.wait(seconds)

    def log(self) -> list[dict[str, Any]]:
        """The JSON lines logged so far."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def terminate(self, seconds: float = 40.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        """Ends it as SageMaker does, with little patience, and whatever it leaves, as a container's end does."""
        self.client.close()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
