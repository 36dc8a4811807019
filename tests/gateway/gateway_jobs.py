"""A job service with a clock set by hand, endpoints that answer what they are told, and receivers of webhooks."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve.observe import Trace
from pixelserve.storage import Folder
from pixelserve_gateway.jobs import (
    Cleaner,
    Job,
    JobFiles,
    JobService,
    JobStore,
    KeptCall,
    Look,
    Order,
    Output,
    OutputPlaces,
    Rules,
    Sender,
    Threads,
    Ticker,
    Uploads,
    Webhook,
)
from pixelserve_gateway.results import Results

NOW = 1_800_000_000.0
TRACE = Trace("00-trace-1-01")
FEATURE = "image_super_resolution"
SILENT = 0
"""In place of a status: the receiver answers after SILENT_SECONDS."""
SILENT_SECONDS = 7.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Endpoints:
    """A Caller. `answers` are given in turn, the last for ever: bytes, or an error to raise. `gate` holds calls."""

    def __init__(self, *, asynchronous: bool = False) -> None:
        self.asynchronous = asynchronous
        self.answers: list[bytes | Exception] = [b"answer"]
        self.looks: list[Look | Exception] = [Look()]
        self.calls: list[KeptCall] = []
        self.tenants: list[str] = []
        self.started: list[str] = []
        self.looked_at: list[OutputPlaces] = []
        self.forgotten: list[OutputPlaces] = []
        self.canceled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def is_asynchronous(self, feature: str) -> bool:
        assert feature == FEATURE
        return self.asynchronous

    async def invoke(self, job: Job, call: KeptCall) -> Output:
        self.tenants.append(job.tenant)
        return Output(await self._answer(call), "image/png", "ms=1")

    async def start(self, job: Job, call: KeptCall, input_url: str) -> OutputPlaces:
        assert input_url.endswith(f"/jobs/{job.id}/input")
        await self._answer(call)
        self.started.append(job.id)
        number = len(self.started)
        return OutputPlaces(f"s3://b/{job.id}-{number}.out", f"s3://b/{job.id}-{number}-error.out")

    async def look(self, job: Job, places: OutputPlaces) -> Look:
        self.looked_at.append(places)
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return look

    async def forget(self, places: OutputPlaces) -> None:
        self.forgotten.append(places)

    async def _answer(self, call: KeptCall) -> bytes:
        self.calls.append(call)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


class Gateway:
    """Service and ticker over a store; several over one store are several processes."""

    def __init__(
        self, store: JobStore, folder: Path, *, asynchronous: bool = False, clock: Clock | None = None, **rules: Any
    ) -> None:
        self.clock = clock or Clock()
        self.folder = folder
        self.results = Results(Folder(folder), b"secret", most_bytes=1_000_000)
        self.threads = Threads()
        self.jobs = JobService(store, JobFiles(self.results), Rules(**rules), self.threads, clock=self.clock)
        self.endpoints = Endpoints(asynchronous=asynchronous)
        self.uploads = Uploads(self.results, most_bytes=1_000_000, seconds=60, clock=self.clock)
        tests = {"jobs/": partial(self.jobs.files.is_orphan, store), "uploads/": self.uploads.is_old}
        self.cleaner = Cleaner(self.results, self.threads, tests)
        self.ticker = Ticker(
            self.jobs,
            self.endpoints,
            Sender(allow_private=True),
            {"native": phrase, "hidream": phrase},
            cleaner=self.cleaner,
        )

    def order(self, tenant: str = "ours", *, webhook: str = "", schedule: str = "native", **fields: Any) -> Order:
        call = KeptCall(FEATURE, {"content_type": "image/png"}, b"image")
        hook = Webhook(webhook, schedule) if webhook else None
        return Order(tenant, schedule, call, webhook=hook, trace=TRACE, **fields)

    async def submit(self, tenant: str = "ours", **fields: Any) -> Job:
        return await self.jobs.submit(self.order(tenant, **fields))

    async def tick(self, *messages: str, after: float = 0.0) -> None:
        self.clock.now += after
        await self.ticker.tick(self.clock.now, messages)

    async def job(self, job_id: str) -> Job:
        return await self.jobs.get("ours", job_id)

    def files(self) -> list[str]:
        """What is stored, by name."""
        return Folder(self.folder).names()


Story = Callable[[Gateway], Coroutine[Any, Any, None]]


def event_text(job: Job, *, completed: bool = True, output: str = "", failure: str = "", enveloped: bool = True) -> str:
    """SageMaker's message about the end of the job's invocation."""
    message = {
        "invocationStatus": "Completed" if completed else "Failed",
        "requestParameters": {"endpointName": "e", "inputLocation": "s3://b/in"},
        "responseParameters": {"contentType": "image/png", "outputLocation": output, "failureLocation": failure},
        "failureReason": "" if completed else "ClientError: 413",
        "inferenceId": job.id,
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    text = json.dumps(message)
    return json.dumps({"Type": "Notification", "MessageId": "1", "Message": text}) if enveloped else text


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; it must within 30 s."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def phrase(job: Job) -> str:
    return json.dumps({"job": job.id, "state": job.state})


class Receiver(http.server.ThreadingHTTPServer):
    """Answers webhooks with `statuses` in turn, the last for ever, and keeps what came, and when (monotonic)."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses) or [200]
        self.requests: list[tuple[Mapping[str, str], str]] = []
        self.came: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.came.append(time.monotonic())
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((headers | {":path": self.path}, body))
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status == SILENT:
            time.sleep(SILENT_SECONDS)
            self.close_connection = True
            return
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "https://elsewhere.test/hook")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    """A receiver while the block lasts."""
    receiver = Receiver(*statuses)
    thread = threading.Thread(target=receiver.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def passing(code: str = "unavailable", retry_after: int | None = None) -> PixelserveError:
    """An error after which another try may do."""
    error = PixelserveError("Try again.", retry_after=retry_after)
    error.status, error.code, error.retryable = 503, code, True
    return error
