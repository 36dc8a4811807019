"""What goes back to the caller, and how a handler's result becomes it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pixelserve.errors import HandlerError, NotAcceptable, OutOfMemory, PixelserveError, UnsupportedMediaType
from pixelserve.media_types import JSON
from pixelserve.observe import log_failure
from pixelserve.serving.arrays import write_json
from pixelserve.serving.context import Context
from pixelserve.wire import ATTRIBUTES, REQUEST_ID

Buffer = bytes | bytearray | memoryview
Body = str | Buffer | Sequence[Buffer] | Iterator[Buffer]
"""What output_fn may return as a body, besides values that JSON can hold."""
Headers = tuple[tuple[str, str], ...]

OWN_HEADERS = frozenset(
    {"connection", "content-length", "content-type", "date", "keep-alive", "server", "transfer-encoding", REQUEST_ID}
)
"""Headers of an answer that the server writes, whatever a handler sets."""
WITHOUT_BODY = (204, 304)
"""Statuses whose answers have none (RFC 9110)."""
_QUALITY = re.compile(r"\s*;\s*q=[\d.]+", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """The body as consecutive buffers (sent without joining them), its media type, and custom attributes.

    `status` and `headers` (names in lower case) are what a handler has set. `stream` has what comes after the parts
    where a handler makes its answer piece by piece: its own iterator, or what an engine makes of it for an event loop.
    """

    parts: Sequence[Buffer]
    media_type: str
    attributes: str = ""
    status: int = 200
    headers: Headers = ()
    stream: Iterator[Buffer] | AsyncIterable[Buffer] | None = None

    @property
    def size(self) -> int:
        """Bytes of the body, without those of a stream."""
        return sum(memoryview(part).nbytes for part in self.parts)

    def joined(self) -> Answer:
        """The same with the stream's buffers as parts. Raises what the handler raises on the way."""
        if not isinstance(self.stream, Iterator):
            return self
        return replace(self, parts=[*self.parts, *self.stream], stream=None)


def json_answer(value: Any) -> Answer:
    return Answer([json.dumps(value).encode()], JSON)


def from_handler(result: Any, context: Context, function: str = "output_fn") -> Answer:
    """What `function` returned as an Answer: a body, or (body, media type, ...), of which the rest is not read.

    A body is bytes-like, str, a list of bytes-like parts, an iterator of bytes-like or str, or any value that JSON can
    hold, which is then written as multi-model-server writes it. Without a media type the first of Accept is taken.
    Raises HandlerError for anything else, and for what no status line or header can hold.
    """
    body, media_type = _split(result, function)
    if media_type is None:
        first = _QUALITY.sub("", context.accept.partition(",")[0]).strip()
        media_type = JSON if first in ("", "*/*") else first
    if not _fits_header(str(media_type)):
        raise HandlerError(f"{function} returned a content type that is not visible ASCII.")
    status, headers, attributes = _head(context, function)
    if status in WITHOUT_BODY:
        return Answer([], str(media_type), attributes, status, headers)
    if isinstance(body, Iterator):
        stream = _buffers(body, function)
        begun = list(islice(stream, 1))  # so that what fails before anything is sent is told by a status
        return Answer(begun, str(media_type), attributes, status, headers, stream)
    return Answer(_parts(body, function), str(media_type), attributes, status, headers)


def _split(result: Any, function: str) -> tuple[Any, Any]:
    """Body and media type, None where none was returned."""
    if not isinstance(result, tuple):
        return result, None
    if len(result) < 2:
        raise HandlerError(f"{function} returned a tuple of {len(result)}. Return the body, or (body, content type).")
    return result[0], result[1]


def _parts(body: Any, function: str) -> Sequence[Buffer]:
    if isinstance(body, str):
        return [body.encode()]
    if isinstance(body, bytes | bytearray | memoryview):
        return [_contiguous(body)]
    if isinstance(body, list) and body and all(isinstance(part, bytes | bytearray | memoryview) for part in body):
        return [_contiguous(part) for part in body]
    if isinstance(body, AsyncIterator):
        raise HandlerError(f"{function} returned an async generator. Write it with def and yield, without async.")
    try:
        return [write_json(body, indent=2)]
    except (TypeError, ValueError, RecursionError) as error:
        raise HandlerError(
            f"{function} returned {type(body).__name__}, which cannot be written: {error}. Return bytes or str, or a "
            "value that JSON can hold, alone or as (body, content type)."
        ) from error


def _contiguous(part: Buffer) -> Buffer:
    """The part as it can be sent: a view of anything but bytes in a row is copied."""
    if not isinstance(part, memoryview):
        return part
    try:
        return part.cast("B")
    except (TypeError, ValueError):  # it has gaps, no elements, or elements of the other byte order
        return bytes(part)


def _buffers(pieces: Iterator[Any], function: str) -> Iterator[Buffer]:
    for piece in pieces:
        if isinstance(piece, str):
            yield piece.encode()
        elif isinstance(piece, bytes | bytearray | memoryview):
            yield bytes(piece)  # it is sent later, and the handler may use its buffer again
        else:
            raise HandlerError(f"{function} yielded {type(piece).__name__}. Yield bytes or str.")


def _head(context: Context, function: str) -> tuple[int, Headers, str]:
    """Status, headers and custom attributes that the handler has set on the context."""
    attributes = context.answer_attributes
    status, headers = 200, []
    if context.processor is not None:
        status = context.processor.status
        for name, value in context.processor.headers.items():
            if not _NAME.fullmatch(name) or not _fits_header(str(value)):
                raise HandlerError(f"{function} set the header {name!r} to what no header can hold.")
            if name.lower() == ATTRIBUTES:
                attributes = attributes or str(value)
            elif name.lower() not in OWN_HEADERS:
                headers.append((name.lower(), str(value)))
    if not isinstance(status, int) or not 200 <= status < 600:
        raise HandlerError(f"{function} set the status {status!r}. Set one of 200 to 599.")
    if not _fits_header(attributes):
        raise HandlerError("context.answer_attributes must be at most 1024 visible ASCII characters.")
    return int(status), tuple(headers), attributes


def _fits_header(text: str) -> bool:
    return len(text) <= 1024 and text.isascii() and text.isprintable()


def as_error(error: BaseException, function: str) -> PixelserveError:
    """Any exception of a handler as the error a caller may see: no traceback, no text of unforeseen exceptions."""
    if isinstance(error, PixelserveError):
        return error
    if _is_unsupported_format(error):
        kind = NotAcceptable if function == "output_fn" else UnsupportedMediaType
        return kind(" ".join(str(error).split()))
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        return _with_status(status, str(getattr(error, "message", error)))
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return OutOfMemory("Memory ran out on this request. Send a smaller image, or use a larger instance.")
    return HandlerError(f"{function} raised {type(error).__name__}. The log has the details under this request id.")


def _is_unsupported_format(error: BaseException) -> bool:
    """Whether it is what sagemaker-inference's decoder and encoder raise for a media type that they do not know."""
    names = ((kind.__module__, kind.__name__) for kind in type(error).__mro__)
    return ("sagemaker_inference.errors", "UnsupportedFormatError") in names


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
