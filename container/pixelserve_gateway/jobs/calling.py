"""How jobs call endpoints: `Caller`, and `EndpointCaller`, which is one over the gateway's calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pixelserve import features
from pixelserve.errors import BodyTooLarge, NotFound, OutputTooLarge, PixelserveError, Unavailable, status_of
from pixelserve.media_types import content_type_of
from pixelserve.storage import Place
from pixelserve.wire import read_error
from pixelserve_gateway.calls import Call, Calls
from pixelserve_gateway.jobs.job import Job, OutputPlaces
from pixelserve_gateway.jobs.threads import Threads

logger = logging.getLogger("pixelserve_gateway")

_MOST_FAILURE_BYTES = 1_000_000


@dataclass(frozen=True)
class KeptCall:
    """A call as a job keeps it: the feature's name, a few words that say how, and the body that an endpoint is sent.

    `words` are what `Call.dump` gives; `content_type`, that of the body, is among them.
    """

    feature: str
    words: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Output:
    """What an endpoint answered. `attributes` is its X-Amzn-SageMaker-Custom-Attributes."""

    body: bytes
    media_type: str
    attributes: str = ""


@dataclass(frozen=True)
class Look:
    """How an asynchronous invocation stands: its output, or the error it ended with, or how far it is, if told."""

    output: Output | None = None
    error: PixelserveError | None = None
    fraction: float | None = None


class Caller(Protocol):
    """Makes the calls of jobs. Raises the endpoint's own errors, retryable ones where another try may do."""

    def is_asynchronous(self, feature: str) -> bool:
        """Whether the feature has an asynchronous endpoint."""

    async def invoke(self, job: Job, call: KeptCall) -> Output:
        """InvokeEndpoint."""

    async def start(self, job: Job, call: KeptCall, input_url: str) -> OutputPlaces:
        """InvokeEndpointAsync; the job's id is the InferenceId, `input_url` where the body lies."""

    async def look(self, job: Job, places: OutputPlaces) -> Look:
        """How the invocation stands. Raises Unavailable when that cannot be told."""

    async def forget(self, places: OutputPlaces) -> None:
        """Removes the output or the failure, which nobody needs any more. Raises Unavailable."""


class EndpointCaller:
    """A Caller that makes `calls`.

    Asynchronous outputs and failures are read from the place `outputs`, up to `most_bytes`, on `threads`.
    """

    def __init__(self, calls: Calls, outputs: Place | None, threads: Threads, *, most_bytes: int) -> None:
        self._calls = calls
        self._outputs = outputs
        self._threads = threads
        self._most_bytes = most_bytes

    def is_asynchronous(self, feature: str) -> bool:
        return self._calls.is_asynchronous(features.feature(feature))

    async def invoke(self, job: Job, call: KeptCall) -> Output:
        made = await self._calls.invoke(Call.load(call.words, call.body), request_id=job.id, trace=job.trace)
        return Output(made.body, made.media_type, made.attributes)

    async def start(self, job: Job, call: KeptCall, input_url: str) -> OutputPlaces:
        kept = Call.load(call.words, call.body)
        begun = await self._calls.start(kept, job.id, input_url=input_url, trace=job.trace)
        return OutputPlaces(begun.output_url, begun.failure_url)

    async def look(self, job: Job, places: OutputPlaces) -> Look:
        try:
            output = await self._threads.files(self._read, places.output, self._most_bytes)
        except BodyTooLarge:
            message = f"The result has more than {self._most_bytes:,} bytes. Ask for format jpeg or webp."
            return Look(error=OutputTooLarge(message, param="format"))
        if output is not None:
            return Look(output=output)
        failure = await self._threads.files(self._read, places.failure, _MOST_FAILURE_BYTES)
        if failure is not None:
            error = read_error(PixelserveError.status, failure.body)
            error.status = status_of(error.code)
            return Look(error=error)
        return Look(fraction=await self._calls.look(job.id))

    async def forget(self, places: OutputPlaces) -> None:
        names = [self._outputs.name_of(url) for url in (places.output, places.failure)] if self._outputs else []
        for name in names:
            if self._outputs is not None and name:
                await self._threads.files(self._outputs.remove, name)

    def _read(self, url: str, most_bytes: int) -> Output | None:
        """What lies at the URL; None while nothing does."""
        if not url:
            return None
        name = self._outputs.name_of(url) if self._outputs is not None else None
        if self._outputs is None or name is None:
            logger.error("the endpoint writes to %s, which is not below %s: name its place", url, self._outputs)
            raise Unavailable("The endpoint writes its outputs where the gateway does not look.")
        try:
            body, media_type = self._outputs.read(name, most_bytes)
        except NotFound:
            return None
        return Output(body, media_type or content_type_of(body))
