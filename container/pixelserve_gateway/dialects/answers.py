"""How errors are documented in OpenAPI: one shape, and what each status means."""

from __future__ import annotations

from typing import Any

from pixelserve.media_types import JSON

_ERRORS = {
    400: "The request does not fit.",
    404: "There is nothing at this path.",
    405: "The path takes another method.",
    406: "No type of Accept can be answered.",
    413: "Something is too large. The message says what to do instead.",
    415: "The content type is not read.",
    429: "Too many requests wait. Try again after Retry-After seconds.",
    500: "Something failed here.",
    503: "The endpoint is not ready. Try again after Retry-After seconds.",
    504: "The answer took too long.",
    507: "The endpoint ran out of memory.",
}
_ERROR_EXAMPLE = {
    "error": {"code": "bad_request", "message": "scale is 3: should be 2 or 4.", "param": "scale", "retryable": False},
    "request_id": "0b9c3a7e-3f0e-4c55-9a3b-2a7cf6b5d1aa",
}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "param", "retryable"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "retryable": {"type": "boolean"},
                "retry_after": {"type": "integer"},
                "state": {"type": "string"},
            },
        },
        "request_id": {"type": "string"},
    },
}


def error_responses() -> dict[int | str, dict[str, Any]]:
    """The errors that any route may answer."""
    content = {JSON: {"schema": ERROR_SCHEMA, "example": _ERROR_EXAMPLE}}
    return {status: {"description": text, "content": content} for status, text in _ERRORS.items()}
