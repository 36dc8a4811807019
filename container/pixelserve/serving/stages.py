"""The functions that an author wrote, as hosts call them: each with `context` last, defaults where there are none.

Handlers are written for SageMaker's toolkits unless they say PIPELINE = True. Those get what sagemaker-inference 1.10
gives: str for JSON and CSV, a default for an absent Accept, one context whose values stay from request to request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pixelserve.errors import BadRequest, HandlerError
from pixelserve.media_types import CSV, JSON
from pixelserve.serving import arrays, defaults
from pixelserve.serving.context import Context

Function = Callable[..., Any]

PARAMETERS = {
    "pre_model_fn": ("model_dir",),
    "model_fn": ("model_dir",),
    "warmup_fn": ("model",),
    "model_warmup_fn": ("model_dir", "model"),
    "input_fn": ("body", "content_type"),
    "predict_fn": ("data", "model"),
    "predict_batch_fn": ("items", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "body", "content_type", "accept"),
}
"""The functions that are called, and what each takes before the context."""
TEXT_TYPES = (JSON, CSV)
"""Content types, spelt exactly so, whose bodies input_fn and transform_fn of a serial handler get as str.

Others are a bytearray, which multi-model-server gives too: arrays made on it can be written to.
"""


def with_context(name: str, function: Function | None) -> Function | None:
    """The function with `context` as its last parameter, whether or not it takes one itself.

    It takes one when it has one parameter more than the contract's, whatever that is called. Raises HandlerError when
    its positional parameters are not those of the contract, and for a function that has to be awaited.
    """
    if function is None:
        return None
    expected = PARAMETERS[name]
    signature = f"{name}({', '.join(expected)})"
    if _is_async(function) or _is_async(getattr(type(function), "__call__", None)):  # noqa: B004  of an object
        raise HandlerError(
            f"{name} is an async def, which no server of this contract awaits. Write `def {signature}:`, and "
            "asyncio.run(...) in it where something is to be awaited."
        )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise HandlerError(f"{name} is not a function.") from error
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return function
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if len(required) > len(expected) + 1 or len(positional) < len(expected):
        raise HandlerError(
            f"{name} takes ({', '.join(p.name for p in positional)}); it must take ({', '.join(expected)}[, context])."
        )
    return function if len(positional) > len(expected) else _drop_context(function)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _drop_context(function: Function) -> Function:
    def without_context(*arguments: Any) -> Any:
        return function(*arguments[:-1])

    return without_context


def split_transform(transform_fn: Function) -> dict[str, Function]:
    """input_fn, predict_fn and output_fn that together are the transform_fn."""

    def predict_fn(body: Any, model: Any, context: Context) -> Any:
        return transform_fn(model, body, context.content_type, context.accept, context)

    def pass_through(data: Any, _media_type: str, _context: Context) -> Any:
        return data

    return {"input_fn": pass_through, "predict_fn": predict_fn, "output_fn": pass_through}


def pipelined_stages(own: dict[str, Function | None], start: Context) -> tuple[Function, Function]:
    """input_fn and output_fn of a handler whose requests run beside each other.

    Bodies are bytes, Accept is as it was sent. What model_fn put on its context, `start`, is on that of each request.
    """
    decode = own["input_fn"] or defaults.input_fn

    def input_fn(body: bytes, content_type: str, context: Context) -> Any:
        context.follow(start)
        return decode(body, content_type, context)

    return input_fn, own["output_fn"] or defaults.output_fn


def serial_stages(own: dict[str, Function | None], start: Context, default_accept: str) -> tuple[Function, Function]:
    """input_fn and output_fn of a handler whose requests come one after another.

    What a call put on its context is on those that follow. An absent Accept, and `*/*`, become `default_accept`; an
    absent content type is None, and JSON to the default input_fn.
    """
    decode: Function = own["input_fn"] or defaults.array_input_fn
    encode = own["output_fn"] or defaults.output_fn
    has_own_input, has_own_output = own["input_fn"] is not None, own["output_fn"] is not None
    latest = start

    def input_fn(body: bytes, content_type: str | None, context: Context) -> Any:
        nonlocal latest
        context.follow(latest)
        latest = context
        if context.accept in ("", "*/*"):
            context.accept = default_accept
        if has_own_input and b"content-type" not in context.wire_headers:
            content_type = context.content_type = None
        if content_type in TEXT_TYPES:
            return decode(_as_text(body), content_type, context)
        return decode(bytearray(body) if has_own_input else body, content_type, context)

    def output_fn(prediction: Any, accept: str, context: Context) -> Any:
        if accept in ("", "*/*"):
            accept = context.accept = default_accept
        if not has_own_output and accept == JSON and isinstance(prediction, bytes | bytearray | memoryview):
            accept = context.wire_headers.get(b"accept", b"*/*").decode("latin-1")  # bytes may answer any type
        if not has_own_output and hasattr(prediction, "detach"):
            prediction = arrays.as_python_numbers(prediction)
        return encode(prediction, accept, context)

    return input_fn, output_fn


def _as_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from error
