"""Asynchronous invocations: the request names its input, the answer where the output will be.

The wire form is that of `InvokeEndpointAsync` in botocore's model of the SageMaker Runtime. An output is stored as
`<id>.out`, or below S3OutputPathExtension and as Filename; what went wrong as `<id>-error.out`, with the container's
error body or one of the same form.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import time
import uuid
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pixelserve.errors import BadRequest, BodyTooLarge, DeadlineExceeded, Draining, PixelserveError, Unavailable
from pixelserve.local.containers import AnswerLost, ask
from pixelserve.local.endpoints import Endpoint
from pixelserve.local.faults import Reply, RuntimeFault, ValidationError, json_reply
from pixelserve.local.headers import PREFIX, matched, passed_on
from pixelserve.local.rooms import AsyncRoom, is_lost
from pixelserve.media_types import JSON
from pixelserve.settings import settings
from pixelserve.storage import Place
from pixelserve.wire import INFERENCE_ID, Headers, read_body, read_error

CONCURRENCY = 4
"""Invocations of one endpoint in work at once."""
QUEUE_LENGTH = 256
"""Invocations of one endpoint, waiting or in work; more are throttled."""
REMEMBERED = 10_000
"""Invocations, in work or ended, whose state can be looked at."""
INLINE_BYTES = 128_000
"""Largest input that the request itself may hold."""
MOST_SECONDS = 3_600
"""The service's limit for one invocation."""

_FILENAME = re.compile(r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PATH_EXTENSION = re.compile(r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+")
"""Both are botocore's."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AsyncPlaces:
    """Where outputs go, and where inputs may lie; the output's place is always among those."""

    output: Place
    inputs: Sequence[Place] = ()

    def __post_init__(self) -> None:
        if not self.output.url("x").isascii():  # it is answered in a header
            raise BadRequest(f"{self.output} is not ASCII. Choose another place for asynchronous outputs.")

    def find(self, url: str) -> tuple[Place, str]:
        """The place that holds `url`, or a file's path, and its name there. Raises ValidationError when none does."""
        if "://" not in url:
            url = Path(url).absolute().as_uri()
        for place in (*self.inputs, self.output):
            name = place.name_of(url)
            if name:
                return place, name
        raise ValidationError(
            f"InputLocation {url} is not below {' or '.join(map(str, (*self.inputs, self.output)))}. Move it there, or "
            "name its place with `pixelserve up --async-input PLACE`."
        )


@dataclass(frozen=True)
class _Invocation:
    """`source` is the input itself, or where it lies; `expires` is a `time.monotonic()` value."""

    id: str
    output: str
    endpoint: Endpoint
    headers: Headers
    source: bytes | tuple[Place, str]
    expires: float
    seconds: int

    @property
    def inference_id(self) -> str:
        """The caller's, or one made here."""
        return dict(self.headers).get(INFERENCE_ID.encode(), self.id.encode()).decode()


@dataclass(frozen=True)
class _State:
    state: str
    endpoint: Endpoint
    id: str


@dataclass(frozen=True)
class _Output:
    name: str
    body: bytes
    content_type: str


class _LostError(Exception):
    """An invocation was in a worker that died, or its answer was cut off."""


class AsyncInvocations:
    """The queues of a runtime. All methods belong to its event loop; objects are read and written on threads."""

    def __init__(self, places: AsyncPlaces, client: httpx.AsyncClient) -> None:
        self._places = places
        self._client = client
        self._held: Counter[Endpoint] = Counter()
        self._room: defaultdict[Endpoint, AsyncRoom] = defaultdict(lambda: AsyncRoom(CONCURRENCY))
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._computing: set[asyncio.Task[None]] = set()

    async def take(self, endpoint: Endpoint, headers: dict[bytes, bytes], receive: Any) -> Reply:
        """202 with where the output will be. Raises RuntimeFault for what the service would not take."""
        invocation = await self._read(endpoint, headers, receive)
        if self._held[endpoint] >= QUEUE_LENGTH:
            raise RuntimeFault(
                400, "ThrottlingException", f"{endpoint.name} holds {QUEUE_LENGTH} invocations. Try again later."
            )
        self._held[endpoint] += 1
        task = asyncio.create_task(self._run(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._note(invocation, "queued")
        url = self._places.output.url
        return json_reply(
            202,
            {"InferenceId": invocation.inference_id},
            [
                (PREFIX + b"outputlocation", url(invocation.output).encode()),
                (PREFIX + b"failurelocation", url(f"{invocation.id}-error.out").encode()),
            ],
        )

    def look(self, inference_id: str) -> dict[str, Any]:
        """`{"state": "queued" | "running" | "succeeded" | "failed"}` of the last invocation under this ID.

        `"progress"`, from 0 to 1, is there while a handler tells it. The service has no such operation. Raises
        ValidationError for an ID that is not among the last ones.
        """
        if inference_id not in self._states:
            raise ValidationError(f"InferenceId {inference_id[:64]!r} is not among the last {REMEMBERED:,} here.")
        known = self._states[inference_id]
        progress = known.endpoint.progress.get(known.id)
        return {"state": known.state} | ({} if progress is None else {"progress": progress})

    def _note(self, invocation: _Invocation, state: str) -> None:
        self._states[invocation.inference_id] = _State(state, invocation.endpoint, invocation.id)
        self._states.move_to_end(invocation.inference_id)
        if len(self._states) > REMEMBERED:
            self._states.popitem(last=False)

    async def _read(self, endpoint: Endpoint, headers: dict[bytes, bytes], receive: Any) -> _Invocation:
        passed = passed_on(endpoint.name, headers, [b"content-type", b"accept"])
        ttl = _number(headers, "RequestTTLSeconds", 21_600, 60, 21_600)
        seconds = _number(headers, "InvocationTimeoutSeconds", 900, 1, MOST_SECONDS)
        identifier = str(uuid.uuid4())
        return _Invocation(
            id=identifier,
            output=self._name_output(headers, identifier),
            endpoint=endpoint,
            headers=passed,
            source=await self._source(headers, receive),
            expires=time.monotonic() + ttl,
            seconds=seconds,
        )

    def _name_output(self, headers: dict[bytes, bytes], identifier: str) -> str:
        """The output's name below its place: S3OutputPathExtension, and Filename or one made of the identifier."""
        extension = matched(headers, "S3OutputPathExtension", 512, _PATH_EXTENSION).strip("/")
        filename = matched(headers, "Filename", 32, _FILENAME) or f"{identifier}.out"
        name = f"{extension}/{filename}" if extension else filename
        try:
            self._places.output.url(name)
        except BadRequest as error:
            raise ValidationError(error.message) from None
        return name

    async def _source(self, headers: dict[bytes, bytes], receive: Any) -> bytes | tuple[Place, str]:
        """The request's input. Raises ValidationError unless it is there exactly once, and where it may be."""
        try:
            body = await read_body(headers, receive, INLINE_BYTES)
        except BodyTooLarge:
            raise ValidationError(
                f"The body is larger than {INLINE_BYTES:,} bytes. Store it and name it in InputLocation."
            ) from None
        location = headers.get(PREFIX + b"inputlocation", b"").decode(errors="replace")
        if bool(body) == bool(location):
            raise ValidationError("Give the input as InputLocation or as the body: one of the two.")
        return self._places.find(location) if location else body

    async def _run(self, invocation: _Invocation) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._computing.add(task)
        try:
            try:
                await self._run_once(invocation, task)
            except _LostError:
                await self._run_once(invocation, task, alone=True)
        except asyncio.CancelledError:
            stopped = Draining("The runtime was stopped before the output was there. Send it again.")
            await self._write(invocation, _failure(invocation, stopped))
        finally:
            self._computing.discard(task)
            invocation.endpoint.progress.pop(invocation.id, None)
            self._held[invocation.endpoint] -= 1

    async def _run_once(self, invocation: _Invocation, task: asyncio.Task[Any], alone: bool = False) -> None:
        """Raises _LostError where the invocation was in a worker that died, unless it was there alone."""
        async with self._room[invocation.endpoint].enter(alone):
            self._note(invocation, "running")
            invocation.endpoint.progress[invocation.id] = None
            output = await self._output(invocation, alone)
            self._computing.discard(task)  # what is being written is not cancelled
            await self._write(invocation, output)

    async def _write(self, invocation: _Invocation, output: _Output) -> None:
        write = self._places.output.write
        try:
            await asyncio.to_thread(write, output.name, io.BytesIO(output.body), output.content_type)
        except PixelserveError as error:
            logger.error("%s: %s is lost: %s", invocation.endpoint.name, output.name, error.message)
            self._note(invocation, "failed")
        else:
            self._note(invocation, "succeeded" if output.name == invocation.output else "failed")

    async def _output(self, invocation: _Invocation, alone: bool) -> _Output:
        if time.monotonic() > invocation.expires:
            expired = DeadlineExceeded("The request waited longer than its RequestTTLSeconds. Send it again.")
            return _failure(invocation, expired)
        headers = [*invocation.headers, (b"x-request-id", invocation.id.encode())]
        try:
            if isinstance(invocation.source, bytes):
                body = invocation.source
            else:
                place, name = invocation.source
                body, stored_type = await asyncio.to_thread(place.read, name, settings().max_body_bytes)
                if stored_type and b"content-type" not in dict(headers):
                    headers.append((b"content-type", stored_type.encode()))
            given, parts = await self._ask(invocation, body, headers)
        except RuntimeFault as fault:
            if not alone and (isinstance(fault, AnswerLost) or is_lost(_error_of(fault))):
                raise _LostError from fault
            return _model_failure(invocation, fault)
        except PixelserveError as error:
            return _failure(invocation, error)
        except Exception:  # a fault of ours must not lose the invocation
            logger.exception("%s: %s failed in the runtime", invocation.endpoint.name, invocation.id)
            return _failure(invocation, PixelserveError("The runtime failed. Its log has the details."))
        return _Output(invocation.output, b"".join(parts), given.get("content-type", "application/octet-stream"))

    async def _ask(self, invocation: _Invocation, body: bytes, headers: Headers) -> tuple[httpx.Headers, list[bytes]]:
        """The answer, asked for again as long as the container starts or has no room. Raises RuntimeFault."""
        while True:
            try:
                return await ask(self._client, invocation.endpoint, body, headers, invocation.seconds)
            except RuntimeFault as fault:
                error = _error_of(fault)
                if error.status not in (429, 503) or is_lost(error) or not error.retryable:
                    raise
                pause = error.retry_after or 1
                if time.monotonic() + pause > invocation.expires:
                    raise
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Ends what is waiting and in work; each gets its failure file. Outputs that are there are still written."""
        await asyncio.sleep(0)  # tasks begin, so that they see that they are cancelled
        for task in self._computing:
            task.cancel()
        await asyncio.gather(*self._tasks)


def _number(headers: dict[bytes, bytes], name: str, default: int, least: int, most: int) -> int:
    text = headers.get(PREFIX + name.lower().encode(), str(default).encode())
    if not text.isdigit() or len(text) > len(str(most)) or not least <= int(text) <= most:
        raise ValidationError(f"{name} is not a number of {least:,} to {most:,}.")
    return int(text)


def _error_of(fault: RuntimeFault) -> PixelserveError:
    """The error that the container answered."""
    return read_error(
        fault.fields.get("OriginalStatusCode", fault.status), str(fault.fields.get("OriginalMessage", "")).encode()
    )


def _model_failure(invocation: _Invocation, fault: RuntimeFault) -> _Output:
    """The container's own error body where it answered one."""
    message = str(fault.fields.get("OriginalMessage", fault))
    if not fault.fields.get("OriginalStatusCode"):
        return _failure(invocation, Unavailable(message))
    return _Output(f"{invocation.id}-error.out", message.encode(), JSON)


def _failure(invocation: _Invocation, error: PixelserveError) -> _Output:
    body = json.dumps(error.body(invocation.id)).encode()
    return _Output(f"{invocation.id}-error.out", body, JSON)
