"""What goes back to the caller, and how a handler's result becomes it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pixelserve.errors import HandlerError, OutOfMemory, PixelserveError
from pixelserve.media_types import JSON
from pixelserve.observe import log_failure

Buffer = bytes | bytearray | memoryview
Body = str | Buffer | Sequence[Buffer]
"""What output_fn may return as a body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The body as consecutive buffers (sent without joining them), its media type, and custom attributes.

    `stream` has what comes after the parts where a handler makes its answer piece by piece: its own iterator, or what
    an engine makes of that for an event loop.
    """

    parts: Sequence[Buffer]
    media_type: str
    attributes: str = ""
    stream: Iterator[Buffer] | AsyncIterable[Buffer] | None = None

    @property
    def size(self) -> int:
        """Bytes of the parts."""
        return sum(memoryview(part).nbytes for part in self.parts)


def json_answer(value: Any) -> Answer:
    return Answer([json.dumps(value).encode()], JSON)


def from_handler(result: Any, accept: str, attributes: str) -> Answer:
    """output_fn's result as an Answer: a body, or (body, media type).

    A body is bytes-like, str, a list of bytes-like parts, or an iterator of them, of which the first is made here.
    Without a media type the first of `accept` is taken. Raises HandlerError for anything else, and for a media type or
    attributes that no header can hold.
    """
    if not _fits_header(attributes):
        raise HandlerError("context.answer_attributes must be at most 1024 visible ASCII characters.")
    body, media_type = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if isinstance(body, str):
        body = body.encode()
    stream = body if isinstance(body, Iterator) else None
    if stream is not None:
        body = list(islice(stream, 1))
    parts = body if isinstance(body, list) else [body]
    if not all(isinstance(part, bytes | bytearray | memoryview) for part in parts):
        raise HandlerError(
            f"output_fn returned {type(body).__name__}. Return bytes or str, or (body, content type) as a tuple."
        )
    if media_type is None:
        first = accept.partition(",")[0].partition(";")[0].strip()
        media_type = JSON if first in ("", "*/*") else first
    if not _fits_header(str(media_type)):
        raise HandlerError("output_fn returned a content type that is not visible ASCII.")
    return Answer(parts, str(media_type), attributes, stream)


def _fits_header(text: str) -> bool:
    return len(text) <= 1024 and text.isascii() and text.isprintable()


def as_error(error: BaseException, function: str) -> PixelserveError:
    """Any exception of a handler as the error a caller may see: no traceback, no text of unforeseen exceptions."""
    if isinstance(error, PixelserveError):
        return error
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        return _with_status(status, str(getattr(error, "message", error)))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return OutOfMemory("Memory ran out on this request. Send a smaller image, or use a larger instance.")
    return HandlerError(f"{function} raised {type(error).__name__}. The log has the details under this request id.")


def _with_status(status: int, message: str) -> HandlerError:
    """An error that a handler raised with a status of its own (`status_code`, as sagemaker-inference's errors have)."""
    error = HandlerError(message)
    error.status = status
    error.retryable = status in (429, 503, 504)
    return error


def explain(error: BaseException, request_id: str, function: str) -> PixelserveError:
    """What the caller is told of a handler's exception; what is not meant for callers goes to the log."""
    if not isinstance(error, PixelserveError):
        log_failure(error, request_id, function)
    return as_error(error, function)
