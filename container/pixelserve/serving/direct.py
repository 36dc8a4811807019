"""A handler called from start to end in the caller's own thread, one request at a time.

For hosts that bring their own queue and processes: multi-model-server and AWS Lambda.
"""

from __future__ import annotations

from typing import Any

from pixelserve.errors import BadRequest
from pixelserve.observe import tracing
from pixelserve.serving import handler
from pixelserve.serving.answers import Answer, explain, from_handler
from pixelserve.serving.context import Context
from pixelserve.serving.handler import Handler
from pixelserve.settings import Settings


class Direct:
    """A loaded handler with its warm model."""

    def __init__(self, functions: Handler, model: Any) -> None:
        self._functions = functions
        self._model = model

    @classmethod
    def load(cls, config: Settings) -> Direct:
        """The handler that the settings choose. Raises HandlerError or OutOfMemory when it does not load."""
        functions = handler.load(handler.locate(config), config)
        return cls(functions, handler.load_model(functions, config))

    @property
    def is_pipelined(self) -> bool:
        """Whether the handler takes Accept as it was sent."""
        return self._functions.is_pipelined

    def answer(self, body: bytes, context: Context) -> Answer:
        """The model's answer to `body`. Raises PixelserveError, and nothing else: what callers may be told."""
        if not body and not self._functions.takes_empty_body:
            raise BadRequest("The body is empty. Send the model's input in it.")
        with tracing.span("POST /invocations", context.trace, "server", {"http.request.method": "POST"}) as span:
            context.trace = span.trace
            answer = self._run(body, context)
            span.answered(answer.status)
            return answer

    def _run(self, body: bytes, context: Context) -> Answer:
        stage = "input_fn"
        try:
            context.check()
            with tracing.span(stage, context.trace):
                data = self._functions.input_fn(body, context.content_type, context)
            stage = "predict_fn"
            context.check()
            with tracing.span(stage, context.trace):
                prediction = self._predict(data, context)
            stage = "output_fn"
            context.check()
            with tracing.span(stage, context.trace):
                result = self._functions.output_fn(prediction, context.accept, context)
                return from_handler(result, context, self._functions.author_of(stage)).joined()
        except BaseException as error:  # noqa: BLE001  a user's code may raise anything
            raise explain(error, context.request_id, self._functions.author_of(stage)) from None

    def _predict(self, data: Any, context: Context) -> Any:
        if self._functions.predict_fn is not None:
            return self._functions.predict_fn(data, self._model, context)
        assert self._functions.predict_batch_fn is not None
        result = self._functions.predict_batch_fn([data], self._model, [context])[0]
        if isinstance(result, BaseException):
            raise result
        return result
