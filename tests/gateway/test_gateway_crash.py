"""`kill -9` at any moment: no accepted job is lost, and nobody sees two results for one.

Real processes: a gateway that is killed and started again, the endpoint behind it, the store where that is a server.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
CLIENTS = 16
POINTS = ("accepted", "run", "result", "called", "input", "ended", "callback", "any")
"""Where the gateway kills itself (gateway_process.POINTS), and `any`: it is killed from outside, some time."""


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps the callbacks by job: (webhook-id, body)."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Callback)
        self.callbacks: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that dies in the middle of a request."""


class _Callback(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.callbacks[json.loads(body)["id"]].append((self.headers["webhook-id"], body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Gateway:
    """The process that is killed. Its socket stays: who calls meanwhile waits for the next process."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._options = options | {"fd": self._socket.fileno()}
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, dies: tuple[str, int] | None = None) -> None:
        options = self._options | {"dies": dies}
        self._process = _start("gateway_process.py", json.dumps(options), socket=self._socket)

    def wait_for_death(self, seconds: float) -> bool:
        """Whether it died of SIGKILL by itself in that time."""
        assert self._process is not None
        try:
            return self._process.wait(seconds) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        self.kill()
        self._socket.close()


def _start(script: str, *arguments: str, socket: socket.socket | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1] / "container")},
        pass_fds=[] if socket is None else [socket.fileno()],
        stdout=subprocess.PIPE if socket is None else None,
    )


@contextlib.contextmanager
def _endpoint(seconds: float, outputs: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        process = _start("gateway_backend.py", str(listener.fileno()), str(seconds), str(outputs), socket=listener)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        process.kill()
        process.wait()


@contextlib.contextmanager
def _dynamodb(patch: pytest.MonkeyPatch) -> Iterator[str]:
    from pixelserve_gateway.jobs import DynamoDBStore

    with _start("gateway_dynamodb.py") as process:
        assert process.stdout is not None
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", process.stdout.readline().decode().strip())
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        store = DynamoDBStore("jobs")
        store.create_table()
        store.close()
        yield "jobs"
        process.kill()


@contextlib.contextmanager
def _receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, daemon=True)
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


class Clients:
    """Ask again until they are answered, and note all that they see."""

    def __init__(self, url: str, notify: str) -> None:
        self._url = url
        self._notify = notify
        self._over = threading.Event()
        self.ids: defaultdict[str, set[str]] = defaultdict(set)
        """By idempotency key."""
        self.results: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        """(name, content), by job."""

    def submit(self, number: int) -> None:
        key = f"key {number}"
        answer = self._until_answered("POST", "/jobs", content=f"image {number}", headers=self._headers(key))
        self.ids[key].add(answer["id"])

    def submit_again(self, number: int) -> None:
        """Once more after all: it is the same job."""
        self.submit(number)

    def watch(self) -> None:
        """Looks at all jobs until it is over, however they stand."""
        while not self._over.is_set():
            for job_id in [job_id for ids in list(self.ids.values()) for job_id in list(ids)]:
                with contextlib.suppress(httpx.HTTPError):
                    self._note(self._ask("GET", f"/jobs/{job_id}").json())
            time.sleep(0.2)

    def tick(self) -> None:
        """Ticks until it is over."""
        while not self._over.is_set():
            with contextlib.suppress(httpx.HTTPError):
                self._ask("POST", "/tick")
            time.sleep(0.2)

    def wait_for_the_end(self, number: int, seconds: float) -> list[dict[str, Any]]:
        """All jobs, when each has ended and been told of."""
        until = time.monotonic() + seconds
        while True:
            jobs: list[dict[str, Any]] = self._until_answered("GET", "/jobs")
            ended = [job for job in jobs if job["result"] and job["is_told"]]
            if len(ended) >= number:
                break
            assert time.monotonic() < until, Counter((job["state"], job["is_told"]) for job in jobs)
            time.sleep(0.2)
        self._over.set()
        for job in jobs:
            self._note(self._until_answered("GET", f"/jobs/{job['id']}"))
        return jobs

    def _note(self, job: dict[str, Any]) -> None:
        if job["result"]:
            self.results[job["id"]].add((job["result"], job["content"]))

    def _headers(self, key: str) -> dict[str, str]:
        return {"Idempotency-Key": key, "X-Notify": self._notify}

    def _until_answered(self, method: str, path: str, **options: Any) -> Any:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = self._ask(method, path, **options)
                if answer.status_code == 200:
                    return answer.json()
            time.sleep(0.1)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self._url + path, timeout=30, trust_env=False, **options)


def _crash(
    store: str, folder: Path, *, loops: bool, jobs: int, kills: int, seconds: float, asynchronous: bool = False
) -> None:
    outputs = folder / "outputs"
    outputs.mkdir()
    chance = random.Random(20261125)
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(_receiver())
        options = {
            "store": store,
            "results": str(folder / "results"),
            "backend": stack.enter_context(_endpoint(0.3, outputs)),
            "outputs": str(outputs) if asynchronous else None,
            "loops": loops,
        }
        gateway = Gateway(options)
        stack.callback(gateway.close)
        clients = Clients(gateway.url, f"http://127.0.0.1:{receiver.server_port}/")
        with ThreadPoolExecutor(CLIENTS + 2) as pool:
            works = [pool.submit(clients.watch)] + ([] if loops else [pool.submit(clients.tick)])
            submitting = []
            died: Counter[str] = Counter()
            for kill in range(kills):
                point = POINTS[kill % len(POINTS)]
                gateway.start(None if point == "any" else (point, chance.randint(1, 3)))
                first, last = (jobs * number // kills for number in (kill, kill + 1))
                submitting += [pool.submit(clients.submit, number) for number in range(first, last)]
                if point == "any":
                    gateway.wait_for_death(2 + chance.random())
                    gateway.kill()
                    died[point] += 1
                elif gateway.wait_for_death(seconds):
                    died[point] += 1
                gateway.kill()
            gateway.start()
            try:
                for work in submitting:
                    work.result(seconds)
                for number in range(jobs):
                    clients.submit_again(number)
                ended = clients.wait_for_the_end(jobs, seconds)
            finally:
                clients._over.set()
            for work in works:
                work.result()
    assert died.total() == kills
    assert len(ended) == jobs
    assert {job["state"] for job in ended} == {"succeeded"}
    assert sorted(len(ids) for ids in clients.ids.values()) == [1] * jobs
    of_job = {next(iter(ids)): key for key, ids in clients.ids.items()}
    assert of_job.keys() == {job["id"] for job in ended}
    for job in ended:
        seen, told = clients.results[job["id"]], receiver.callbacks[job["id"]]
        number = of_job[job["id"]].removeprefix("key ")
        assert seen == {(job["result"], f"IMAGE {number}")}
        assert {webhook_id for webhook_id, _ in told} == {f"msg_{job['id']}"}
        assert {body for _, body in told} == {
            json.dumps({"id": job["id"], "state": "succeeded", "result": job["result"]})
        }
    assert receiver.callbacks.keys() == of_job.keys()


@contextlib.contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        yield str(folder / "jobs.sqlite") if kind == "sqlite" else stack.enter_context(_dynamodb(patch))


@pytest.mark.parametrize(
    ("kind", "loops", "asynchronous"),
    [("sqlite", True, False), ("dynamodb", False, False), ("sqlite", True, True)],
    ids=["sqlite-loop", "dynamodb-tick", "asynchronous"],
)
def test_five_kills_lose_none_of_forty_jobs(kind: str, loops: bool, asynchronous: bool, tmp_path: Path) -> None:
    with _store(kind, tmp_path) as store:
        _crash(store, tmp_path, loops=loops, jobs=40, kills=5, seconds=60, asynchronous=asynchronous)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["realtime", "asynchronous"])
@pytest.mark.parametrize("loops", [True, False], ids=["loop", "tick"])
@pytest.mark.parametrize("kind", ["sqlite", "dynamodb"])
def test_twenty_kills_lose_none_of_two_hundred_jobs(kind: str, loops: bool, asynchronous: bool, tmp_path: Path) -> None:
    with _store(kind, tmp_path) as store:
        _crash(store, tmp_path, loops=loops, jobs=200, kills=20, seconds=200, asynchronous=asynchronous)
