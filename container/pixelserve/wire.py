"""The contract on the wire: header names, a listening socket, bodies within limits, another process's errors."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pixelserve.errors import BodyTooLarge, ClientGone, PixelserveError, State, Unavailable

Headers = list[tuple[bytes, bytes]]
"""As ASGI and httpx take them."""

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
INFERENCE_ID = "x-amzn-sagemaker-inference-id"
REQUEST_ID = "x-request-id"
HEAD_BYTES = 65_536
"""The most that a request's line and headers may have."""
LOGGED_PATH = 200
"""Characters of a path; the rest of it is not logged."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
BACKLOG = 2048
"""Connections that the kernel holds until they are accepted."""
UNIX, DESCRIPTOR = "unix:", "fd:"
"""Prefixes of a host that is the path of a socket, or the number of one that this process inherited."""


_NOT_OURS = (errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_NODATA)
"""Errors of a host that is no address of this machine."""


def bind(host: str, port: int, remedy: str) -> socket.socket:
    """A listening socket of an address, of `unix:PATH`, or `fd:NUMBER`: one that the parent process has bound.

    Raises Unavailable with the reason and the remedy when it cannot be had.
    """
    try:
        if host.startswith(DESCRIPTOR):
            inherited = socket.socket(fileno=int(host.removeprefix(DESCRIPTOR)))
            inherited.set_inheritable(False)
            return inherited
        if host.startswith(UNIX):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(host.removeprefix(UNIX))
            listener.listen(BACKLOG)
            return listener
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise Unavailable(f"Cannot listen on {host}:{port}: {error.strerror}. Choose another host.") from None
    except (OSError, OverflowError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError) and error.errno in _NOT_OURS:
            remedy = f"Choose a host of this machine, such as {LOOPBACK[0]}."
        said = reason.partition(" (while")[0].rstrip(".")
        raise Unavailable(f"Cannot listen on {host}:{port}: {said}. {remedy}") from None


def url_of(listener: socket.socket) -> str:
    """The URL of a TCP listener for callers on this machine: one of every address is reached by the loopback one."""
    host, port, *_ = listener.getsockname()
    address = ip_address(host)
    if address.is_unspecified:
        host = LOOPBACK[0] if address.version == 4 else LOOPBACK[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def logged_path(scope: Any) -> str:
    """The path of a request, of ASGI's scope, as it is logged and traced."""
    return str(scope["path"][:LOGGED_PATH])


def is_loopback(host: str) -> bool:
    """Whether a host, as `bind` takes it, is reached from this machine alone."""
    if host.startswith(DESCRIPTOR):
        with socket.socket(fileno=os.dup(int(host.removeprefix(DESCRIPTOR)))) as inherited:
            address = inherited.getsockname()
        return isinstance(address, str) or address[0] in LOOPBACK
    return host.startswith(UNIX) or host in LOOPBACK


def is_from_web_page(scope: Any) -> bool:
    """Whether an ASGI request is one that a browser sends on behalf of a page from elsewhere.

    That is a request of another origin, or to a name that some page's owner made to lead here (DNS rebinding).
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    at_loopback = scope["server"][0] in LOOPBACK
    return (
        headers.get(b"sec-fetch-site", b"").lower() in (b"cross-site", b"same-site")
        or (origin is not None and _host_of(origin) not in LOOPBACK)
        or (at_loopback and b"host" in headers and _host_of(b"//" + headers[b"host"]) not in LOOPBACK)
    )


def _host_of(address: bytes) -> str:
    try:
        return urlsplit(address.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


async def read_body(headers: Mapping[bytes, bytes], receive: Any, limit: int) -> bytes:
    """The body of an ASGI request. Raises BodyTooLarge above `limit` bytes, ClientGone when it ends early.

    The rest of a body that is too large is read and dropped, up to four times the limit, so that the caller gets to
    read the answer; a caller that asked with Expect: 100-continue is answered at once.
    """
    declared = int(headers.get(b"content-length", b"").lstrip(b"0") or b"0")  # int reads 4,300 digits
    is_too_large = declared > limit
    if is_too_large and (declared > 4 * limit or b"expect" in headers):
        raise _body_too_large(limit)
    body = bytearray()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client closed the connection before the whole body was there.")
        piece, more = message["body"], message.get("more_body", False)
        size += len(piece)
        is_too_large = is_too_large or size > limit
        if is_too_large and (not more or size > 4 * limit):
            raise _body_too_large(limit)
        if not more and not body:
            return bytes(piece)
        if is_too_large:
            body.clear()
        else:
            body += piece
        if not more:
            return bytes(body)


async def read_first(pieces: AsyncIterator[bytes], least: int) -> tuple[list[bytes], bool]:
    """The first pieces of a body, of `least` bytes where there are so many, and whether they are all of it."""
    first, size = [], 0
    async for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size >= least:
            return first, False
    return first, True


class HalfPairError(ValueError):
    """Half a surrogate pair, which no text can hold (RFC 8259, 8.2); `field`: of an object, where it is."""

    def __init__(self, field: str | None) -> None:
        super().__init__("it holds half a surrogate pair, which is no character")
        self.field = field


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, in UTF-8 where it is bytes (RFC 8259, 8.1).

    Raises ValueError for what is no JSON, HalfPairError for what holds half a surrogate pair.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    value = json.loads(text)
    if "\\u" in text and _holds_half_pair(value):
        fields = value if isinstance(value, dict) else {}
        raise HalfPairError(next((name for name, held in fields.items() if _holds_half_pair(held)), None))
    return value


def _holds_half_pair(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _body_too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {limit:,} bytes. Send the image as a URL, compress it, use an asynchronous endpoint, "
        "or raise PIXELSERVE_MAX_BODY_BYTES."
    )


def closing_answer(error: PixelserveError, request_id: str) -> bytes:
    """An error as a whole answer of HTTP/1.1 after which the connection is closed."""
    body = json.dumps(error.body(request_id)).encode()
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *([] if error.retry_after is None else [f"retry-after: {error.retry_after}"]),
        f"{REQUEST_ID}: {request_id}",
        "connection: close",
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body


def read_error(status: int, body: bytes) -> PixelserveError:
    """The error that another process answered: its status, code, message, state and whether to try again.

    Of an answer that is not of our form only the status is known.
    """
    try:
        given = json.loads(body)["error"]
        param, retry_after = given.get("param"), given.get("retry_after")
        error = PixelserveError(
            str(given["message"]),
            param=param if isinstance(param, str) else None,
            retry_after=retry_after if type(retry_after) is int and retry_after >= 0 else None,
        )
        error.code, error.retryable = str(given.get("code", error.code)), bool(given.get("retryable"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        error, given = PixelserveError(f"The server answered {status}."), {}
    error.status = status
    error.state = next((state for state in State if state == given.get("state")), None)
    return error
