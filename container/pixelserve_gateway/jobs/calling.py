"""What jobs need of whoever calls endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pixelserve.errors import PixelserveError
from pixelserve_gateway.jobs.job import Invocation, Progress


@dataclass(frozen=True)
class StoredCall:
    """A call of a feature as a job keeps it: JSON, and the bytes of its images apart."""

    feature: str
    parameters: Mapping[str, Any]
    images: tuple[bytes, ...] = ()
    traceparent: str = ""


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered. `attributes` is its X-Amzn-SageMaker-Custom-Attributes."""

    body: bytes
    media_type: str
    attributes: str = ""


@dataclass(frozen=True)
class Look:
    """How an asynchronous invocation stands: its answer, or the error it ended with, or how far it is, if told."""

    answer: Answer | None = None
    error: PixelserveError | None = None
    progress: Progress | None = None


class Caller(Protocol):
    """Calls endpoints. Raises the endpoint's own errors, retryable ones where another try may do."""

    def is_asynchronous(self, feature: str) -> bool:
        """Whether the feature has an asynchronous endpoint."""

    async def invoke(self, call: StoredCall) -> Answer:
        """InvokeEndpoint."""

    async def start(self, call: StoredCall, inference_id: str) -> Invocation:
        """InvokeEndpointAsync."""

    async def look(self, feature: str, inference_id: str, invocation: Invocation) -> Look:
        """How the invocation stands. Raises Unavailable when that cannot be told now."""
