"""What multi-model-server's workers run: our handlers, by the toolkit's extension point for a handler service.

multi-model-server takes the only class of this module.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from pixelserve.errors import NotReady, PixelserveError, State
from pixelserve.observe import configure, log_load_failure, tracing
from pixelserve.serving.answers import Answer, json_answer
from pixelserve.serving.context import Context
from pixelserve.serving.direct import Direct
from pixelserve.settings import settings
from pixelserve.wire import ATTRIBUTES

logger = logging.getLogger("pixelserve.mms")


class HandlerService:
    """`initialize` once in each worker, then `handle` for each request (the Java server batches none)."""

    def __init__(self) -> None:
        self._direct: Direct | None = None
        self._failure = NotReady("The model is loading.", state=State.LOADING, retry_after=2)

    def initialize(self, mms_context: Any) -> None:
        """Loads the model. A failure is kept for `handle`: the Java server itself would go on as if nothing was."""
        configure(settings().log_level)
        tracing.configure()
        gpu = mms_context.system_properties.get("gpu_id")
        if gpu is not None:
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", str(gpu))
        try:
            self._direct = Direct.load(settings())
        except PixelserveError as error:
            log_load_failure(error)
            state = error.state or State.LOAD_FAILED
            self._failure = NotReady(f"The model did not load: {error.message}", state=state)

    def handle(self, data: list[dict[str, Any]], mms_context: Any) -> list[bytes]:
        """The body of each answer; its status and headers go into `mms_context`."""
        return [self._respond(mms_context, index, item.get("body") or b"") for index, item in enumerate(data)]

    def _respond(self, mms_context: Any, index: int, body: bytes) -> bytes:
        request_id = mms_context.get_request_id(index)
        headers = {
            key.lower(): value
            for key, value in mms_context.get_all_request_header(index).items()
            if isinstance(value, str)
        }
        try:
            answer, error = self._answer(bytes(body), headers, request_id), None
        except PixelserveError as raised:
            answer, error = json_answer(raised.body(request_id)), raised
        if error is None:
            mms_context.set_response_status(answer.status, "", index)
            for name, value in answer.headers:
                mms_context.set_response_header(index, name, value)
        else:
            mms_context.set_response_status(error.status, error.code, index)
            if error.retry_after is not None:
                mms_context.set_response_header(index, "Retry-After", str(error.retry_after))
        if answer.attributes:
            mms_context.set_response_header(index, ATTRIBUTES, answer.attributes)
        mms_context.set_response_content_type(index, answer.media_type)
        return b"".join(answer.parts)

    def _answer(self, body: bytes, headers: dict[str, Any], request_id: str) -> Answer:
        if self._direct is None:
            raise self._failure
        context = Context.from_headers(headers, request_id, settings().timeout)
        return self._direct.answer(body, context)
