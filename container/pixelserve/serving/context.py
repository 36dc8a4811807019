"""What a handler may know about the request it is working on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pixelserve.errors import ClientGone, DeadlineExceeded
from pixelserve.media_types import JSON
from pixelserve.observe import NO_TRACE, Trace, log_progress
from pixelserve.serving.exchange import MetricsStore, RequestHeaders, RequestProcessor
from pixelserve.wire import ATTRIBUTES, INFERENCE_ID


@dataclass
class Context:
    """Handed to handler functions that take one more parameter than the contract's minimum.

    `deadline` is a `time.monotonic()` value. `answer_attributes` may be set by the handler and is answered as
    X-Amzn-SageMaker-Custom-Attributes (at most 1024 visible ASCII characters). `wire_headers` are the request's, their
    names in lower case. `trace` is what a handler passes on to services that it calls (`trace.headers()`).
    `content_type` is None to a serial handler's own input_fn or transform_fn when none was sent.
    `system_properties` has `model_dir` and `gpu_id` (None without a GPU), among others.

    Methods that take `idx`, and `request_processor`, `request_ids`, `metrics`, `manifest` and `system_properties`, are
    those of multi-model-server's context; there is one request, number 0. A handler may put values of its own on it.
    """

    request_id: str
    custom_attributes: str = ""
    content_type: str | None = ""
    accept: str = ""
    deadline: float = float("inf")
    answer_attributes: str = ""
    client_gone: bool = False
    trace: Trace = NO_TRACE
    wire_headers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    system_properties: dict[str, Any] = field(default_factory=dict, repr=False)
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)
    processor: RequestProcessor | None = field(default=None, repr=False)
    metrics_store: MetricsStore | None = field(default=None, repr=False)
    _percent: int = field(default=0, init=False, repr=False)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], request_id: str, seconds: float, accept: str = "*/*") -> Context:
        """Of a request's headers, their names in lower case; `accept` is what an absent one means."""
        attributes = headers.get(ATTRIBUTES, "")
        wire_headers = {
            name.encode("latin-1", "replace"): value.encode("latin-1", "replace") for name, value in headers.items()
        }
        return cls(
            request_id=request_id,
            custom_attributes=attributes,
            content_type=headers.get("content-type", JSON),
            accept=headers.get("accept", accept),
            deadline=time.monotonic() + seconds,
            trace=Trace.of_request(wire_headers.items(), attributes),
            wire_headers=wire_headers,
        )

    def follow(self, earlier: Context) -> None:
        """Takes over what a handler put on an earlier context: multi-model-server has one for all requests."""
        self.system_properties, self.manifest = earlier.system_properties, earlier.manifest
        values = vars(earlier)
        if len(values) > _FIELD_COUNT:
            own = vars(self)
            own.update({name: value for name, value in values.items() if name not in own})

    @property
    def inference_id(self) -> str:
        """X-Amzn-SageMaker-Inference-Id as it was sent; empty without one."""
        return self.wire_headers.get(INFERENCE_ID.encode(), b"").decode("latin-1")

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
        """Called by long predictions between steps (`done` of `total`), so that work nobody waits for ends early.

        Each percent is told in the log at level DEBUG, where the local runtime reads it. Raises what `check` raises.
        """
        self.check()
        percent = 100 * done // max(total, 1)
        if percent != self._percent:
            self._percent = percent
            log_progress(self.request_id, done, total)

    @property
    def request_processor(self) -> list[RequestProcessor]:
        """One, of this request."""
        if self.processor is None:
            self.processor = RequestProcessor(RequestHeaders.read(self.wire_headers))
        return [self.processor]

    @property
    def request_ids(self) -> dict[int, str]:
        return {0: self.request_id}

    @property
    def model_name(self) -> str:
        return str(self.system_properties.get("model_name", ""))

    @property
    def metrics(self) -> MetricsStore:
        """Takes metrics of the handler's own."""
        if self.metrics_store is None:
            self.metrics_store = MetricsStore(self.request_id)
        return self.metrics_store

    def get_request_id(self, idx: int = 0) -> str | None:
        return self.request_ids.get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        """The header, however its name is spelt; None without one."""
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> RequestHeaders:
        return self.request_processor[idx].get_request_properties()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        self.set_response_status(code, phrase)

    def get_response_status(self, idx: int) -> tuple[int, str]:
        processor = self.request_processor[idx]
        return processor.status, processor.reason

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.request_processor[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        return self.request_processor[idx].headers

    def set_response_content_type(self, idx: int, value: str) -> None:
        """What is returned with the body, or Accept, goes before it, as in sagemaker-inference."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        return self.get_response_headers(idx).get("content-type")


_FIELD_COUNT = len(fields(Context))
