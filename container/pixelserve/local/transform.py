"""Batch transform on this machine: every object of a place through a server, as the service's jobs do it.

The job's own settings reach the server as the variables that the service sets; what the server then answers to
`GET /execution-parameters` is what is done. A server without that path gets what the job says, else the service's
defaults (CreateTransformJob: one transform at a time, 6 MB).
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast

import httpx

from pixelserve.errors import PixelserveError
from pixelserve.local.endpoints import Endpoint
from pixelserve.local.rooms import Room, is_lost
from pixelserve.media_types import content_type_of
from pixelserve.processes import START_SECONDS, ServerFailed, Stop, Stopped
from pixelserve.storage import Place
from pixelserve.wire import read_error

RETRIES = 3
"""The service's default: of a request that was answered 429 or 503."""
SECONDS = 3_600.0
"""The service's limit for one invocation; the server's own time-out is shorter."""
NOT_THERE = 404
"""Status of `/execution-parameters` where a server, such as multi-model-server, has none."""
PARAMETERS_SECONDS = 10.0
"""For the answer to `/execution-parameters`."""
LONGEST_PAUSE = 60
"""Seconds; of a Retry-After."""
MEMORY_BYTES = 1 << 24
"""Of an output beyond these the rest is kept on disk until it is whole."""


class TransformFailed(PixelserveError):
    """An object could not be transformed."""

    code = "transform_failed"


class _LostError(TransformFailed):
    """A record was in a worker that died, or its answer was cut off."""


@dataclass(frozen=True)
class Job:
    """What to transform. An empty `content_type` is told from each object.

    With `split_lines` each line is a record, else each object; with `assemble_lines` each output ends with a newline.
    An output is the object's name with `ending`, the service's by default.
    The last three hold for a server that does not say what it wants: SINGLE_RECORD or MULTI_RECORD, requests at once,
    and the MB (10^6 bytes) of the largest. The defaults of the two numbers are the service's.
    """

    source: Place
    target: Place
    content_type: str = ""
    accept: str = "*/*"
    split_lines: bool = False
    assemble_lines: bool = False
    overwrite: bool = False
    ending: str = ".out"
    strategy: str = "SINGLE_RECORD"
    concurrency: int = 1
    payload_megabytes: int = 6

    @property
    def parameters(self) -> dict[str, Any]:
        """What a server would answer to `GET /execution-parameters` that wants what the job says."""
        return {
            "MaxConcurrentTransforms": self.concurrency,
            "BatchStrategy": self.strategy,
            "MaxPayloadInMB": self.payload_megabytes,
        }


@dataclass(frozen=True)
class Outcome:
    """Of one object, the `number`th of `total` to do: bytes written, or the error."""

    name: str
    number: int
    total: int
    size: int = 0
    error: str = ""


@dataclass
class JobReport:
    """`skipped` objects had their output already."""

    done: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    told: bool = field(default=False, compare=False)
    """Whether each failure was shown when it happened."""


def job_environment(strategy: str | None, concurrency: int | None, payload_megabytes: int | None) -> dict[str, str]:
    """The variables that the service sets for a job; None leaves the choice to the server."""
    chosen = {
        "SAGEMAKER_BATCH_STRATEGY": strategy,
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": concurrency,
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": payload_megabytes,
    }
    fixed = {"SAGEMAKER_BATCH": "true", "PIXELSERVE_DRAIN_SECONDS": "1"}  # what a job leaves nobody waits for
    return fixed | {name: str(value) for name, value in chosen.items() if value is not None}


def run_job(endpoint: Endpoint, job: Job, progress: Callable[[Outcome], None], stop: Stop | None = None) -> JobReport:
    """Stores an output for every object that does not fail, and tells `progress` of each.

    Raises ServerFailed when the server ends, Stopped when `stop` is set, and what the places raise for being listed.
    """
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(base_url=endpoint.url, trust_env=False, timeout=SECONDS, limits=limits) as client:
        run = _Run(endpoint, job, client, progress, stop or Stop())
        try:
            return run.all()
        finally:
            run.give_up()


class _Output:
    """What has come of an object so far."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.content = cast(BinaryIO, tempfile.SpooledTemporaryFile(MEMORY_BYTES))  # noqa: SIM115  `_Run` closes it
        self.content_type = "application/octet-stream"
        self.error = ""


_Pending = tuple[_Output, Future[httpx.Response] | None]
"""An answer to come, in the order of the records; None ends an object."""


class _Run:
    """One job on one server. Answers are waited for on the caller's thread, and asked for on as many as may be."""

    def __init__(
        self,
        endpoint: Endpoint,
        job: Job,
        client: httpx.Client,
        progress: Callable[[Outcome], None],
        stop: Stop,
    ) -> None:
        self._endpoint = endpoint
        self._job = job
        self._client = client
        self._stop = stop
        self._progress = progress
        self._report = JobReport(told=True)
        self._total = 0
        self._open: set[_Output] = set()
        self._stopped = threading.Event()
        wanted = client.get("/execution-parameters", timeout=PARAMETERS_SECONDS)
        parameters = job.parameters if wanted.status_code == NOT_THERE else wanted.raise_for_status().json()
        self._most = 4 * int(parameters["MaxConcurrentTransforms"])
        self._limit = 1_000_000 * int(parameters["MaxPayloadInMB"])
        self._single = parameters["BatchStrategy"] == "SINGLE_RECORD"
        self._room = Room(parameters["MaxConcurrentTransforms"])
        self._pool = ThreadPoolExecutor(parameters["MaxConcurrentTransforms"], thread_name_prefix="transform")

    def give_up(self) -> None:
        """What waits is given up; what is in flight ends with its connection or the server."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for output in self._open:
            output.content.close()

    def all(self) -> JobReport:
        names = self._stop.run_aside(self._job.source.names)
        there = set() if self._job.overwrite else set(self._stop.run_aside(self._job.target.names))
        missing = [name for name in names if f"{name}{self._job.ending}" not in there]
        self._report.skipped = len(names) - len(missing)
        self._total = len(missing)
        pending: deque[_Pending] = deque()
        for number, name in enumerate(missing, start=1):
            self._stop.check()
            output = _Output(name, number)
            self._open.add(output)
            for answer in self._asked(output):
                pending.append((output, answer))
                while len(pending) > self._most:
                    self._settle(*pending.popleft())
        while pending:
            self._settle(*pending.popleft())
        return self._report

    def _asked(self, output: _Output) -> Iterator[Future[httpx.Response] | None]:
        """The object's answers to come, and None after the last."""
        try:
            for load in self._records(output.name):
                if output.error:
                    break
                yield self._pool.submit(self._answer, output.name, load)
        except PixelserveError as error:
            output.error = output.error or error.message
        yield None

    def _records(self, name: str) -> Iterator[Callable[[], bytes]]:
        """What gives each record: a whole object is read on the thread that sends it."""
        if not self._job.split_lines:
            yield lambda: self._job.source.read(name, self._limit)[0]
            return
        with self._job.source.open(name) as (stream, _, _):
            for record in records_of(stream, self._limit, self._single):
                yield partial(bytes, record)

    def _answer(self, name: str, load: Callable[[], bytes]) -> httpx.Response:
        """The server's answer to a record. Raises TransformFailed with its error message."""
        body = load()
        headers = {
            "content-type": self._job.content_type or content_type_of(body, name),
            "accept": self._job.accept,
        }
        try:
            with self._room.enter():
                return self._ask(body, headers)
        except _LostError:
            with self._room.enter(alone=True):
                return self._ask(body, headers)

    def _ask(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The answer, asked for again while the server refuses, and as long as it starts. Raises TransformFailed."""
        retries_left, deadline = RETRIES, time.monotonic() + START_SECONDS
        while True:
            answer = self._post(body, headers)
            if answer.is_success:
                return answer
            error = read_error(answer.status_code, answer.content)
            if is_lost(error):
                raise _LostError(error.message)
            is_starting = error.retryable and error.state is not None and time.monotonic() < deadline
            may_retry = answer.status_code in (429, 503) and not self._stopped.is_set()
            if not may_retry or not (retries_left or is_starting):
                raise TransformFailed(error.message)
            retries_left -= not is_starting
            self._stopped.wait(_pause(answer))

    def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return self._client.post("/invocations", content=body, headers=headers)
        except httpx.TransportError as error:
            self._endpoint.check_alive()
            raise _LostError(f"The server did not answer: {error or type(error).__name__}.") from None

    def _settle(self, output: _Output, answer: Future[httpx.Response] | None) -> None:
        """Adds an answer to its output, or stores the output that is complete."""
        try:
            if answer is None:
                self._finish(output)
            elif not output.error:
                self._add(output, self._stop.result_of(answer))
        except (ServerFailed, Stopped):
            raise
        except PixelserveError as error:
            output.error = error.message

    def _add(self, output: _Output, answer: httpx.Response) -> None:
        output.content.write(answer.content)
        if self._job.assemble_lines:
            output.content.write(b"\n")
        output.content_type = answer.headers.get("content-type", output.content_type)

    def _finish(self, output: _Output) -> None:
        size = output.content.tell()
        self._open.discard(output)
        with output.content:
            output.content.seek(0)
            if not output.error:
                try:
                    write = partial(
                        self._job.target.write, f"{output.name}{self._job.ending}", output.content, output.content_type
                    )
                    self._stop.run_aside(write)
                except PixelserveError as error:
                    output.error = error.message
        if output.error:
            self._report.failures[output.name] = output.error
        else:
            self._report.done += 1
        self._progress(Outcome(output.name, output.number, self._total, size, output.error))


def records_of(stream: BinaryIO, limit: int, single: bool) -> Iterator[bytes]:
    """The lines of a stream without their ends, or as many of them together as `limit` bytes take.

    Raises TransformFailed for a line above the limit.
    """
    batch: list[bytes] = []
    size = 0
    while line := stream.readline(limit + 1):
        record = line.removesuffix(b"\n")
        if len(record) > limit:
            raise TransformFailed(f"A line has more than {limit:,} bytes. Shorten it, or raise the payload limit.")
        if batch and (single or size + 1 + len(record) > limit):
            yield b"\n".join(batch)
            batch, size = [], 0
        size += len(record) + bool(batch)
        batch.append(record)
    if batch:
        yield b"\n".join(batch)


def _pause(answer: httpx.Response) -> int:
    """Seconds until a refused request may be sent again."""
    text = answer.headers.get("retry-after", "")
    return min(int(text), LONGEST_PAUSE) if text.isdecimal() and len(text) < 9 else 1
