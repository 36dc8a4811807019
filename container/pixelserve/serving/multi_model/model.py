"""One model of several: a server process of its own behind a Unix socket."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import httpx

from pixelserve.errors import HandlerError, OutOfMemory, State
from pixelserve.processes import START_SECONDS, ServerFailed, ServerProcess
from pixelserve.serving.answers import OWN_HEADERS, Answer
from pixelserve.wire import ATTRIBUTES, UNIX, is_error, read_error

_OF_THE_WRAPPED_MODEL = {"SAGEMAKER_SUBMIT_DIRECTORY"}
"""Variables that the SDK's MultiDataModel copies from the model that it wraps: each model here brings its own code."""
_LOOK_SECONDS = 0.05
_PING_SECONDS = 5.0


class Model:
    """`folder` is what `model_fn` gets, `url` how the caller named it. The server starts with this object."""

    def __init__(self, name: str, url: str, folder: Path, sockets: Path) -> None:
        self.name = name
        self.url = url
        self.is_ready = False
        self.size = size_of(folder)
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
            raise kind(failure.message, state=failure.state) from None
        self.is_ready = True

    async def _ping(self) -> httpx.Response | None:
        try:
            return await self._client.get("/ping", timeout=_PING_SECONDS)
        except httpx.TransportError:
            return None

    async def ask(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> Answer:
        """The model's answer, in the pieces it came in. Raises the model's own error, and httpx.TransportError."""
        async with self._client.stream("POST", "/invocations", content=body, headers=headers) as response:
            parts = [piece async for piece in response.aiter_raw()]
        if not response.is_success and is_error(body := b"".join(parts)):
            raise read_error(response.status_code, body)
        given = response.headers
        passed = tuple((name, value) for name, value in given.items() if name not in {*OWN_HEADERS, ATTRIBUTES})
        return Answer(parts or [b""], given["content-type"], given.get(ATTRIBUTES, ""), response.status_code, passed)

    async def close(self) -> None:
        """Removes what is left of a server that has ended."""
        await self._client.aclose()
        self._socket.unlink(missing_ok=True)


def size_of(folder: Path) -> int:
    """Bytes of the files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
