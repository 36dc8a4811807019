"""How answers are documented in OpenAPI: the bodies of jobs and uploads, and errors, which have one shape."""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pixelserve.media_types import JSON
from pixelserve_gateway.jobs import JobState

EXAMPLE_IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAM0lEQVQIHUXBQREAAAgCwaMV8YxHK3057CqzPFPKLM+UMsszpczyTCmUKYUypVCmFMrU"
    "ASg3DgXeQoRSAAAAAElFTkSuQmCC"
)
"""A picture of 8 by 8 pixels, which examples can be sent with."""
_ERRORS = {
    400: "The request does not fit.",
    401: "No key, or none that is known.",
    403: "The key is for other features, or a web page from elsewhere calls where nobody is asked.",
    404: "There is nothing at this path.",
    405: "The path takes another method.",
    406: "No type of Accept can be answered.",
    408: "The request arrived too slowly.",
    409: "What was asked for contradicts what stands.",
    413: "Something is too large. The message says what to do instead.",
    415: "The content type is not read.",
    429: "The key's rate limit is reached, or too many requests or jobs wait. Try again after Retry-After seconds.",
    500: "Something failed here.",
    503: "The endpoint is not ready, or there is no room for the body. Try again after Retry-After seconds.",
    504: "The answer took too long.",
    507: "The endpoint ran out of memory.",
}
_ERROR_EXAMPLE = {
    "error": {"code": "bad_request", "message": "scale is 3: should be 2 or 4.", "param": "scale", "retryable": False},
    "request_id": "0b9c3a7e-3f0e-4c55-9a3b-2a7cf6b5d1aa",
}
_ERROR: dict[str, Any] = {
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
}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {"error": _ERROR, "request_id": {"type": "string"}},
}


class _Body(BaseModel):
    """A body that has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class ProgressBody(_Body):
    """How far a job is. `estimated`: reckoned from the time gone by."""

    value: float = Field(ge=0, le=1)
    estimated: bool


class ResultBody(_Body):
    """Where a job's result is, for a while. `attributes` is what the endpoint said of it."""

    url: str
    media_type: str
    size: int = Field(description="Bytes.")
    attributes: str = Field("", description="Such as width=1200;height=800.")


class DeliveryBody(_Body):
    """One request to a webhook, and what became of it."""

    at: datetime.datetime
    status: int | None
    outcome: str


class WebhookBody(_Body):
    """Where a job's end is told, and how that went."""

    url: str
    delivered: bool
    deliveries: list[DeliveryBody]


class JobBody(_Body):
    """A job."""

    id: str = Field(pattern="^[0-9]{1,19}$")
    feature: str
    state: JobState
    progress: ProgressBody
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    expires_at: datetime.datetime
    result: ResultBody | None
    error: dict[str, Any] | None = Field(json_schema_extra={"anyOf": [_ERROR, {"type": "null"}]})
    webhook: WebhookBody | None


class JobsBody(_Body):
    """A page of jobs, and the cursor of the next one."""

    jobs: list[JobBody]
    cursor: str | None


class UploadBody(_Body):
    """How to send a file: POST it to `url` with `fields`, the file last as `file`."""

    id: str
    url: str
    fields: dict[str, str]
    expires_at: datetime.datetime
    max_bytes: int


class SecretBody(_Body):
    """What webhooks are signed with."""

    secret: str = Field(pattern="^whsec_")


def error_responses() -> dict[int | str, dict[str, Any]]:
    """The errors that any route may answer."""
    content = {JSON: {"schema": ERROR_SCHEMA, "example": _ERROR_EXAMPLE}}
    return {status: {"description": text, "content": content} for status, text in _ERRORS.items()}
