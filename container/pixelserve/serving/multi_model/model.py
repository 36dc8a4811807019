"""One model of several: a server process of its own behind a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from pixelserve.callers import Arrivals
from pixelserve.errors import ClientGone, HandlerError, OutOfMemory, State
from pixelserve.processes import START_SECONDS, ServerFailed, ServerProcess
from pixelserve.serving.answers import OWN_HEADERS, Answer
from pixelserve.serving.streams import Rest
from pixelserve.wire import ATTRIBUTES, UNIX, read_first

_OF_THE_WRAPPED_MODEL = {"SAGEMAKER_SUBMIT_DIRECTORY"}
"""Variables that the SDK's MultiDataModel copies from the model that it wraps: each model here brings its own code."""
FIRST_BYTES = 1 << 20
"""Of an answer whose length is known so much is read before it is passed on: what breaks off in them is told by 503."""
_LOOK_SECONDS = 0.05
_PING_SECONDS = 5.0


class Model:
    """`folder` is what `model_fn` gets, `url` how the caller named it, `arrivals` are the bodies on their way to it.

    The server starts with this object.
    """

    def __init__(self, name: str, url: str, folder: Path, size: int, sockets: Path, arrivals: Arrivals) -> None:
        self.name = name
        self.url = url
        self.is_ready = False
        self.size = size
        self.arrivals = arrivals
        self._socket = sockets / os.urandom(8).hex()
        environment = {
            **{name: value for name, value in os.environ.items() if name not in _OF_THE_WRAPPED_MODEL},
            "SAGEMAKER_MULTI_MODEL": "false",
            "SM_MODEL_DIR": str(folder),
            "PIXELSERVE_HOST": f"{UNIX}{self._socket}",
        }
        self.server = ServerProcess(name, environment)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self._socket), limits=httpx.Limits(max_connections=None)),
            base_url="http://model",
            headers={"accept-encoding": "identity"},
            timeout=None,
        )

    async def wait_until_ready(self) -> None:
        """Returns when the model is loaded and warm. Raises OutOfMemory or HandlerError with the reason if it fails."""
        deadline = time.monotonic() + START_SECONDS
        try:
            while (waits_for := self.server.why_not_ready(await self._ping())) is not None:
                if time.monotonic() > deadline:
                    late = f"{self.name} did not load within {START_SECONDS:.0f} s: {waits_for.message}"
                    raise HandlerError(late, state=State.LOAD_FAILED)
                await asyncio.sleep(_LOOK_SECONDS)
        except ServerFailed as failure:
            kind = OutOfMemory if failure.state is State.OUT_OF_MEMORY else HandlerError
            raise kind(f"{self.name} did not load: {failure.reason}", state=failure.state) from None
        self.is_ready = True

    async def _ping(self) -> httpx.Response | None:
        try:
            return await self._client.get("/ping", timeout=_PING_SECONDS)
        except httpx.TransportError:
            return None

    async def ask(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> Answer:
        """What the model answers, an error too; of a large answer the first pieces. Raises httpx.TransportError."""
        headers = [*headers, (b"content-length", str(len(body)).encode())]
        request = self._client.build_request("POST", "/invocations", content=_given_away([body]), headers=headers)
        del body
        response = await self._client.send(request, stream=True)
        given, pieces = response.headers, response.aiter_raw()
        try:
            first, is_whole = await read_first(pieces, FIRST_BYTES if "content-length" in given else 1)
        except BaseException:
            await response.aclose()
            raise
        passed = tuple((name, value) for name, value in given.items() if name not in {*OWN_HEADERS, ATTRIBUTES})
        rest = None if is_whole else _PassedOn(response, pieces)
        return Answer(first, given["content-type"], given.get(ATTRIBUTES, ""), response.status_code, passed, rest)

    async def close(self) -> None:
        """Removes what is left of a server that has ended."""
        await self._client.aclose()
        self._socket.unlink(missing_ok=True)


async def _given_away(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """The pieces, which nobody holds any more when they are sent: a response keeps its request."""
    while pieces:
        yield pieces.pop(0)


class _PassedOn(Rest):
    """The rest of a model's answer, each piece of which is read when the last has left."""

    most_buffered = 65_536  # httpcore's pieces

    def __init__(self, response: httpx.Response, pieces: AsyncIterator[bytes]) -> None:
        length = response.headers.get("content-length")
        self.whole_bytes = None if length is None else int(length)
        self._response = response
        self._pieces = pieces
        self._reading: asyncio.Future[bytes | None] | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True
        if self._reading is not None:
            self._reading.cancel()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises ClientGone, and httpx.TransportError when the model's server ends."""
        async with contextlib.aclosing(self._response):
            while (piece := await self._read()) is not None:
                yield piece

    async def _read(self) -> bytes | None:
        if not self._is_cancelled:
            self._reading = asyncio.ensure_future(anext(self._pieces, None))
            with contextlib.suppress(asyncio.CancelledError):
                return await self._reading
        raise ClientGone("The client closed the connection.")


def size_of(folder: Path) -> int:
    """Bytes of the files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
