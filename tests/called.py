"""A handler called from start to end in the test's own process, as Lambda and multi-model-server's workers call it."""

from __future__ import annotations

from pixelserve.serving.answers import Answer
from pixelserve.serving.context import Context
from pixelserve.serving.direct import Direct


class Called:
    """A loaded handler; calling it is a request."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct

    def __call__(self, body: bytes | str, content_type: str = "application/json", **headers: str) -> Answer:
        given = {"content-type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if isinstance(body, str) else body
        return self._direct.answer(data, Context.from_headers(given, "request-1", 60))

    def body(self, body: bytes | str, content_type: str = "application/json", **headers: str) -> bytes:
        return b"".join(self(body, content_type, **headers).parts)
