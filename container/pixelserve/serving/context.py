"""What a handler may know about the request it is working on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from pixelserve.errors import ClientGone, DeadlineExceeded
from pixelserve.media_types import JSON
from pixelserve.wire import ATTRIBUTES


@dataclass(slots=True)
class Context:
    """Handed to handler functions that take one more parameter than the contract's minimum.

    `deadline` is a `time.monotonic()` value. `answer_attributes` may be set by the handler and is answered as
    X-Amzn-SageMaker-Custom-Attributes (at most 1024 visible ASCII characters).
    """

    request_id: str
    custom_attributes: str = ""
    content_type: str = ""
    accept: str = ""
    deadline: float = float("inf")
    answer_attributes: str = ""
    client_gone: bool = False

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], request_id: str, seconds: float, accept: str = "*/*") -> Context:
        """Of a request's headers, their names in lower case; `accept` is what an absent one means."""
        return cls(
            request_id=request_id,
            custom_attributes=headers.get(ATTRIBUTES, ""),
            content_type=headers.get("content-type", JSON),
            accept=headers.get("accept", accept),
            deadline=time.monotonic() + seconds,
        )

    def seconds_left(self) -> float:
        """Seconds until the deadline; negative when it has passed."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Raises ClientGone or DeadlineExceeded when nobody waits for the answer any more."""
        if self.client_gone:
            raise ClientGone("The client closed the connection.")
        if self.seconds_left() <= 0:
            raise DeadlineExceeded(
                "The time-out passed before the answer was ready. Send a smaller image or use an asynchronous endpoint."
            )

    def progress(self, done: int, total: int) -> None:
        """Called by long predictions between steps (`done` of `total`), so that work nobody waits for ends early."""
        self.check()
