"""The exception tree is the HTTP error table.

    PixelserveError                500  internal
    ├── BadRequest                 400  bad_request
    │   ├── InvalidImage           400  invalid_image
    │   ├── FetchRefused           400  fetch_refused
    │   └── FetchFailed            400  fetch_failed
    ├── Forbidden                  403  forbidden
    ├── NotFound                   404  not_found
    ├── MethodNotAllowed           405  method_not_allowed
    ├── NotAcceptable              406  not_acceptable
    ├── RequestTimeout             408  request_timeout    retryable
    ├── AlreadyLoaded              409  already_loaded
    ├── TooLarge                   413  too_large
    │   ├── BodyTooLarge           413  body_too_large
    │   ├── ImageTooLarge          413  image_too_large
    │   ├── OutputTooLarge         413  output_too_large
    │   ├── FetchTooLarge          413  fetch_too_large
    │   └── TooSlow                413  too_slow
    ├── UnsupportedMediaType       415  unsupported_media_type
    ├── QueueFull                  429  queue_full         retryable
    ├── HeadTooLarge               431  head_too_large
    ├── HandlerError               500  handler_error
    ├── CheckpointError            500  checkpoint_error
    ├── Unavailable                503  unavailable        retryable
    │   ├── NotReady               503  not_ready          retryable
    │   ├── WorkerLost             503  worker_lost        retryable
    │   └── Draining               503  draining           retryable
    ├── DeadlineExceeded           504  deadline_exceeded  retryable
    ├── OutOfMemory                507  out_of_memory
    └── ClientGone                 499  client_gone        logged, never sent

A message says what was wrong and what to do instead. Nothing else reaches a caller: tracebacks go to the log.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What a server, or a model in it, is in the middle of. An error of `/ping` carries one; no text needs reading."""

    STARTING = "starting"
    INSTALLING = "installing"
    LOADING = "loading"
    LOAD_FAILED = "load_failed"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_LOST = "worker_lost"
    DRAINING = "draining"

    @property
    def is_final(self) -> bool:
        """Whether waiting for the server to become ready is in vain."""
        return self in (State.LOAD_FAILED, State.OUT_OF_MEMORY)


class PixelserveError(Exception):
    """Root of the tree. `param` names the offending request field; `retry_after` is in seconds.

    `status`, `code` and `retryable` are those of the class unless an error was read from another process's answer; one
    about a final state is not retryable.
    """

    status = 500
    code = "internal"
    retryable = False
    state: State | None = None

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: int | None = None, state: State | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        if state is not None:
            self.state = state
            self.retryable = self.retryable and not state.is_final

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON error shape: `{"error": {"code", "message", "param", "retryable"}, "request_id"}`.

        `error` has `state` too where the error is about one, and `retry_after` where waiting helps: SageMaker's runtime
        drops the container's headers, so the body repeats it.
        """
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "retryable": self.retryable,
        }
        if self.retry_after is not None:
            error["retry_after"] = self.retry_after
        if self.state is not None:
            error["state"] = self.state.value
        return {"error": error, "request_id": request_id}


class BadRequest(PixelserveError):
    status = 400
    code = "bad_request"


class InvalidImage(BadRequest):
    code = "invalid_image"


class FetchRefused(BadRequest):
    code = "fetch_refused"


class FetchFailed(BadRequest):
    code = "fetch_failed"


class Forbidden(PixelserveError):
    status = 403
    code = "forbidden"


class NotFound(PixelserveError):
    status = 404
    code = "not_found"


class MethodNotAllowed(PixelserveError):
    status = 405
    code = "method_not_allowed"


class NotAcceptable(PixelserveError):
    status = 406
    code = "not_acceptable"


class RequestTimeout(PixelserveError):
    status = 408
    code = "request_timeout"
    retryable = True


class AlreadyLoaded(PixelserveError):
    status = 409
    code = "already_loaded"


class TooLarge(PixelserveError):
    status = 413
    code = "too_large"


class BodyTooLarge(TooLarge):
    code = "body_too_large"


class ImageTooLarge(TooLarge):
    code = "image_too_large"


class OutputTooLarge(TooLarge):
    code = "output_too_large"


class FetchTooLarge(TooLarge):
    code = "fetch_too_large"


class TooSlow(TooLarge):
    code = "too_slow"


class UnsupportedMediaType(PixelserveError):
    status = 415
    code = "unsupported_media_type"


class QueueFull(PixelserveError):
    status = 429
    code = "queue_full"
    retryable = True


class HeadTooLarge(PixelserveError):
    status = 431
    code = "head_too_large"


class HandlerError(PixelserveError):
    code = "handler_error"


class CheckpointError(PixelserveError):
    code = "checkpoint_error"


class Unavailable(PixelserveError):
    status = 503
    code = "unavailable"
    retryable = True


class NotReady(Unavailable):
    code = "not_ready"


class WorkerLost(Unavailable):
    code = "worker_lost"
    state = State.WORKER_LOST


class Draining(Unavailable):
    code = "draining"
    state = State.DRAINING


class DeadlineExceeded(PixelserveError):
    status = 504
    code = "deadline_exceeded"
    retryable = True


class OutOfMemory(PixelserveError):
    status = 507
    code = "out_of_memory"


class ClientGone(PixelserveError):
    status = 499
    code = "client_gone"


def status_of(code: str) -> int:
    """The status of the error tree's `code`, 500 for one that is not in it: for errors kept without their status."""
    kinds: list[type[PixelserveError]] = [PixelserveError]
    for kind in kinds:
        if kind.__dict__.get("code") == code:
            return kind.status
        kinds += kind.__subclasses__()
    return PixelserveError.status
