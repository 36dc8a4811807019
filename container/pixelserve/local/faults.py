"""Replies of the SageMaker Runtime API as ASGI sends them, and its errors."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from pixelserve.wire import Headers

ACCOUNT = "000000000000"

Reply = tuple[int, Headers, list[bytes] | AsyncGenerator[bytes]]
"""Status, headers and the body in pieces: all of them, or as they come."""


class RuntimeFault(Exception):
    """An error as the service answers it: `kind` is botocore's exception, the fields are members of its shape."""

    def __init__(self, status: int, kind: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.fields: dict[str, Any] = {"Message": message} | fields

    def reply(self, retry_after: int | None = None) -> Reply:
        headers = [(b"x-amzn-errortype", self.kind.encode())]
        if retry_after is not None:
            headers.append((b"retry-after", str(retry_after).encode()))
        return json_reply(self.status, self.fields, headers)


class ValidationError(RuntimeFault):
    """A request that the service would not take."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "ValidationError", message)


def json_reply(status: int, value: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    return status, [(b"content-type", b"application/json"), *headers], [json.dumps(value).encode()]
