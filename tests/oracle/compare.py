"""Whether an answer of ours is the stack's, and which differences are meant.

Compared are status, content type, body, and the headers that the handler set. White space of JSON counts for nothing:
multi-model-server indents what it encodes itself. What is meant to differ is a kind in `KINDS`; docs/own-model.md
lists them with their reasons.
"""

from __future__ import annotations

import json
from typing import Any

from oracle.case import JSON, NPY, Answer, Request

SAME, DIFFERENT = "same", "different"


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


def _is_refusal_of_server(stack: Answer) -> bool:
    """Whether multi-model-server itself refuses what a handler returned: status 503 and JSON of its own."""
    return stack.status == 503 and b'"InternalServerException"' in stack.body


def error(request: Request, stack: Answer, ours: Answer) -> bool:
    """A failure is JSON with a code in place of a traceback, its status tells whose fault it was."""
    found = _error(ours)
    if found is None:
        return False
    if _is_refusal_of_server(stack):
        return ours.status == 500
    if stack.failure is None:
        return False
    if stack.status != 500:
        return ours.status == stack.status and found["message"] == stack.failure.message
    if not stack.failure.by_handler and stack.failure.kind != "NotImplementedError":
        return ours.status in (400, 406, 415, 500)
    return ours.status in (500, 507)


def not_loaded(request: Request, stack: Answer, ours: Answer) -> bool:
    """A handler that cannot work is refused when it is loaded, not at each request."""
    found = _error(ours)
    return stack.failure is not None and stack.status == 500 and found is not None and found.get("state") == "load_failed"


def pickle(request: Request, stack: Answer, ours: Answer) -> bool:
    """Arrays of Python objects are not unpickled: that would run code of the caller's."""
    return request.content_type == NPY and stack.status == 200 and ours.status == 400 and _error(ours) is not None


def raw_bytes(request: Request, stack: Answer, ours: Answer) -> bool:
    """Without an input_fn, content types that the toolkit does not know are read as bytes."""
    unknown = stack.failure is not None and stack.failure.kind.endswith("UnsupportedFormatError")
    return unknown and not stack.failure.by_handler and ours.status == 200


def not_a_number(request: Request, stack: Answer, ours: Answer) -> bool:
    """NaN and infinity are no JSON: null, or an error."""
    try:
        json.loads(stack.body)
        _strict(ours.body)
    except ValueError:
        return False
    return not _same_json(stack.body, stack.body) and (ours.status == 200 or _error(ours) is not None)


def more_results(request: Request, stack: Answer, ours: Answer) -> bool:
    """output_fn may return arrays, NumPy scalars, and iterators of bytes, which the stack refuses."""
    return _is_refusal_of_server(stack) and ours.status == 200


KINDS = {
    kind.__name__: kind for kind in (error, not_loaded, pickle, raw_bytes, not_a_number, more_results)
}
"""Each kind by its name; its text is the reason."""
