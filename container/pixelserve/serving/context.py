"""What a handler may know about the request it is working on."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pixelserve.errors import DeadlineExceeded, PixelserveError


class ClientGone(PixelserveError):
    """The caller hung up; the answer has no reader. Logged as 499, never sent."""

    status = 499
    code = "client_gone"


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
