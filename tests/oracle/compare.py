"""Whether an answer of ours is the stack's, and which differences are meant.

Compared are status, content type, body, and the headers that the handler set. White space of JSON counts for nothing:
multi-model-server indents what it encodes itself. What is meant to differ is a kind in `KINDS`; docs/own-model.md
lists them with their reasons.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from oracle.case import JSON, NPY, Answer, Request

SAME, DIFFERENT = "same", "different"
UNSUPPORTED = "sagemaker_inference.errors.UnsupportedFormatError"


def compare(request: Request, stack: Answer, ours: Answer) -> str:
    """SAME, DIFFERENT, or the kind of a listed difference."""
    if _is_same(stack, ours):
        return SAME
    return next((kind for kind, holds in KINDS.items() if holds(request, stack, ours)), DIFFERENT)


def _is_same(stack: Answer, ours: Answer) -> bool:
    if stack.failure is not None or (stack.status, stack.content_type) != (ours.status, ours.content_type):
        return False
    if any(ours.headers.get(name) != value for name, value in stack.headers.items()):
        return False
    return stack.body == ours.body or (JSON in stack.content_type and _same_json(stack.body, ours.body))


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return repr(_strict(one)) == repr(_strict(other))  # 1, 1.0 and True are three values
    except ValueError:
        return False


def _strict(body: bytes) -> Any:
    """The value of JSON. Raises ValueError, also for NaN and infinity, which no JSON has."""
    return json.loads(body, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _error(ours: Answer) -> dict[str, Any] | None:
    """The members of an error as this package answers it, if it is one: JSON, no traceback."""
    try:
        error = json.loads(ours.body)["error"] if ours.content_type == JSON and ours.status >= 400 else None
    except (ValueError, TypeError, KeyError):
        return None
    is_ours = isinstance(error, dict) and {"code", "message", "retryable"} <= error.keys()
    return error if is_ours and b"Traceback" not in ours.body else None


def _is_of_server(stack: Answer) -> bool:
    """Whether multi-model-server answers by itself: 503 for what it cannot write, 500 for a worker that died."""
    return b'"InternalServerException"' in stack.body


def error(request: Request, stack: Answer, ours: Answer) -> bool:
    """A failure is JSON with a code and no traceback; its status tells a caller's mistake from the handler's."""
    found = _error(ours)
    if found is None or stack.status < 400:
        return False
    if stack.failure is None:
        return _is_of_server(stack) and ours.status == 500
    if found.get("state") == "load_failed":  # refused when it is loaded, not at each request
        return stack.status == 500
    if stack.status != 500:
        return ours.status == stack.status and found["message"] == stack.failure.message
    if not stack.failure.by_handler and ours.status == 400:
        return True
    if stack.failure.kind == UNSUPPORTED:
        return ours.status in (406, 415)
    if stack.failure.kind == "MemoryError":
        return ours.status == 507
    return ours.status == 500


def pickle(request: Request, stack: Answer, ours: Answer) -> bool:
    """Arrays of Python objects are not unpickled: that would run a caller's code."""
    return request.content_type == NPY and stack.status == 200 and ours.status == 400 and _error(ours) is not None


def more_types(request: Request, stack: Answer, ours: Answer) -> bool:
    """The default functions take bytes, ragged lists, types with parameters and no type (JSON), too."""
    return ours.status == 200 and stack.failure is not None and not stack.failure.by_handler


def more_results(request: Request, stack: Answer, ours: Answer) -> bool:
    """What a handler may return: arrays, NumPy scalars and iterators of bytes, too."""
    return _is_of_server(stack) and stack.status == 503 and ours.status == 200


def not_a_number(request: Request, stack: Answer, ours: Answer) -> bool:
    """NaN and infinity are null: JSON has neither."""
    if stack.content_type != JSON or not re.search(rb"\bNaN\b|\bInfinity\b", stack.body):
        return False
    null = json.dumps(json.loads(stack.body, parse_constant=lambda _: None))
    return _is_same(replace(stack, body=null.encode()), ours)


def one_type(request: Request, stack: Answer, ours: Answer) -> bool:
    """An answer without a type has the first of Accept, not all of them."""
    first = (request.accept or "").partition(",")[0]
    answered = replace(stack, content_type=first)
    return stack.content_type == request.accept and _is_same(answered, ours)


KINDS = {kind.__name__: kind for kind in (error, pickle, more_types, more_results, not_a_number, one_type)}
"""Each kind of difference by its name; its text is the reason."""
