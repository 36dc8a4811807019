"""What the oracle compares: a handler folder, four requests to it, and the answers to them."""

from __future__ import annotations

import base64
import hashlib
import io
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"
LINES, TEXT, RAW, PNG = "application/jsonlines", "text/plain", "application/octet-stream", "image/png"


LARGEST_STORED = 8192
"""Bytes of a body; of a larger one its length and digest are compared."""


@dataclass(frozen=True)
class Request:
    """`POST /invocations`. A content type or Accept of None is a header that is not sent."""

    body: bytes
    content_type: str | None = JSON
    accept: str | None = None
    attributes: str = ""

    @property
    def headers(self) -> dict[str, str]:
        given = {
            "Content-Type": self.content_type,
            "Accept": self.accept,
            "X-Amzn-SageMaker-Custom-Attributes": self.attributes or None,
        }
        return {name: value for name, value in given.items() if value is not None}


def send(
    body: bytes | str, content_type: str | None = JSON, accept: str | None = None, attributes: str = ""
) -> Request:
    """A request, its body as text where it is text."""
    return Request(body.encode() if isinstance(body, str) else body, content_type, accept, attributes)


@dataclass(frozen=True)
class Case:
    """One idiom of handlers: the text of its entry (`code/inference.py`), and what is sent to it.

    `files` lie in the model folder, by their path in it; `environ` is set for the server.
    """

    idiom: str
    handler: str
    requests: tuple[Request, ...]
    files: dict[str, str | bytes] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, model_dir: Path) -> None:
        """Makes the model folder."""
        entry = "code/" + self.environ.get("SAGEMAKER_PROGRAM", "inference.py")
        for name, content in {entry: self.handler, **self.files}.items():
            path = model_dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = textwrap.dedent(content).encode() if isinstance(content, str) else content
            path.write_bytes(data)


@dataclass(frozen=True)
class Failure:
    """What the stack's traceback tells: the exception's class, whether the handler's code was running, and the message.

    The message is kept where the exception has a status of its own, and is meant for callers.
    """

    kind: str
    by_handler: bool
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """Status, content type and body of an answer, and the headers that a handler can have set (X-...).

    The stack's answer to an exception has a `failure` in place of its body.
    """

    status: int
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None

    @classmethod
    def of(cls, status: int, headers: dict[str, str], body: bytes) -> Answer:
        """Keeps of the headers those that tell something about the handler."""
        lower = {name.lower(): value for name, value in headers.items()}
        kept = {name: value for name, value in lower.items() if name.startswith("x-") and "request" not in name}
        if len(body) > LARGEST_STORED:
            body = f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}".encode()
        return cls(status, lower.get("content-type", ""), body, kept)

    def as_json(self) -> dict[str, Any]:
        """The answer as it is stored: text where the body is UTF-8, else Base64."""
        stored: dict[str, Any] = {"status": self.status, "content_type": self.content_type}
        if self.headers:
            stored["headers"] = self.headers
        if self.failure is not None:
            return stored | {"failure": asdict(self.failure)}
        try:
            return stored | {"text": self.body.decode()}
        except UnicodeDecodeError:
            return stored | {"base64": base64.b64encode(self.body).decode()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Answer:
        body = stored.get("text", "").encode() or base64.b64decode(stored.get("base64", ""))
        failure = Failure(**stored["failure"]) if "failure" in stored else None
        return cls(stored["status"], stored["content_type"], body, stored.get("headers", {}), failure)


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    """The array as an NPY file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=allow_pickle)
    return buffer.getvalue()
