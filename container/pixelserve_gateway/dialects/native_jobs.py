"""Our own API of jobs, uploads and links: POST /v1/jobs, GET /v1/jobs/ID, POST /v1/uploads, GET /results/…"""

from __future__ import annotations

import datetime
import json
import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from pixelserve import features
from pixelserve.errors import BadRequest
from pixelserve.media_types import JSON, RAW
from pixelserve.schema import parse_json
from pixelserve_gateway.auth import check_scope
from pixelserve_gateway.calls import Call
from pixelserve_gateway.desk import Desk, JobWish
from pixelserve_gateway.dialects.answers import (
    EXAMPLE_IMAGE,
    JobBody,
    JobsBody,
    SecretBody,
    UploadBody,
    error_responses,
)
from pixelserve_gateway.forms import FORM, read_form
from pixelserve_gateway.jobs import Job, JobState
from pixelserve_gateway.results import PATH as RESULTS

DIALECT = "native"
JOBS, UPLOADS = "/v1/jobs", "/v1/uploads"
_POLL_SECONDS = 2
_WAIT = re.compile(r"(?:^|[,;]\s*)wait\s*=\s*(\d+)", re.IGNORECASE)
_UPLOAD_FIELDS = {"upload": "img", "upload_1": "img_1", "upload_2": "img_2"}
"""Fields of an input that name an upload in place of an image."""
_NO_CONTENT = 204
_JOB_LINKS = {
    operation: {"operationId": operation, "parameters": {"job_id": "$response.body#/id"}}
    for operation in ("get_job", "cancel_job", "delete_job")
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "wait=n: answer when the job has ended, or after n seconds, at most 59.",
    "schema": {"type": "string"},
    "example": "wait=1",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A name for the request: sent again, it is the same job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_FILE = {
    "required": True,
    "content": {
        FORM: {"schema": {"type": "object", "properties": {"file": {"type": "string", "contentMediaType": RAW}}}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}


class JobRequest(BaseModel):
    """What POST /v1/jobs takes."""

    model_config = ConfigDict(extra="forbid")

    feature: str = Field(description="The feature's name or an alias of it, such as super-resolution.")
    input: dict[str, Any] = Field(
        description="The fields that the feature's own route takes; `upload` in place of `img` names an upload."
    )
    accept: str = Field(JSON, description="Media type of the result, such as image/png.")
    webhook: str = Field("", description="URL that is told of the job's end, signed as Standard Webhooks says.")


def build_router(desk: Desk) -> APIRouter:
    """The routes of jobs, uploads and results."""
    router = APIRouter()
    limit = desk.settings.max_body_bytes

    async def submit(request: Request) -> Response:
        tenant, body = await desk.auth.admit_body(request, limit)
        wanted = parse_json(JobRequest, body)
        feature = features.feature(wanted.feature)
        check_scope(request, feature.name)
        key = request.headers.get("idempotency-key")
        job = await _submit(desk, request, tenant, wanted, JobWish(DIALECT, body, key=key, notify=wanted.webhook))
        seconds = _wait_seconds(request)
        if seconds:
            job = await desk.wait(request, tenant, job.id, seconds)
        return _answer(desk, job, 202)

    async def get(request: Request, job_id: str) -> Response:
        tenant, _ = await desk.auth.admit_body(request, limit)  # where one is sent, a caller who goes is seen after it
        seconds = _wait_seconds(request)
        job = await (desk.wait(request, tenant, job_id, seconds) if seconds else desk.jobs.get(tenant, job_id))
        return _answer(desk, job, 200)

    async def list_jobs(
        request: Request,
        state: Annotated[list[JobState] | None, Query(description="Jobs in these states only.")] = None,
        cursor: Annotated[str | None, Query(description="The cursor of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        tenant = await desk.auth.admit(request)
        page = await desk.jobs.list_jobs(tenant, states=set(state or ()), cursor=cursor, limit=limit)
        return JSONResponse({"jobs": [phrase(desk, job) for job in page.jobs], "cursor": page.cursor})

    async def cancel(request: Request, job_id: str) -> Response:
        tenant = await desk.auth.admit(request)
        return _answer(desk, await desk.jobs.cancel(tenant, job_id), 200)

    async def delete(request: Request, job_id: str) -> Response:
        tenant = await desk.auth.admit(request)
        await desk.jobs.delete(tenant, job_id)
        return Response(status_code=_NO_CONTENT)

    async def begin_upload(request: Request) -> Response:
        tenant = await desk.auth.admit(request)
        form = await desk.begin_upload(request, tenant, UPLOADS)
        told = {"id": form.id, "url": form.url, "fields": form.fields, "expires_at": _time(form.expires)}
        return JSONResponse({**told, "max_bytes": desk.uploads.most_bytes}, 201)

    async def store_upload(request: Request, upload_id: str) -> Response:
        tenant, body = await desk.auth.admit_body(request, limit)
        await desk.store_upload(tenant, upload_id, await _file_of(request, body))
        return Response(status_code=_NO_CONTENT)

    async def webhook_secret(request: Request) -> Response:
        tenant = await desk.auth.admit(request)
        return JSONResponse({"secret": await desk.webhook_secret(tenant)})

    async def result(request: Request) -> Response:
        opened = await desk.open_link(request)
        if isinstance(opened, str):
            return RedirectResponse(opened)
        headers = {"content-security-policy": "sandbox", "content-length": str(opened.size)}
        return StreamingResponse(opened.pieces, media_type=opened.media_type, headers=headers)

    add = partial(_add, router)
    job = f"{JOBS}/{{job_id}}"
    add(
        "POST",
        JOBS,
        submit,
        "begin_job",
        "Begin a job",
        202,
        body=JobBody,
        links=_JOB_LINKS,
        requestBody=_job_request(),
        parameters=[_IDEMPOTENCY_KEY, _PREFER],
    )
    add("GET", JOBS, list_jobs, "list_jobs", "List jobs, newest first", 200, body=JobsBody)
    add("GET", job, get, "get_job", "How a job stands", 200, body=JobBody, parameters=[_PREFER])
    add("POST", f"{job}/cancel", cancel, "cancel_job", "Cancel a job", 200, body=JobBody)
    add("DELETE", job, delete, "delete_job", "Delete a job and its result", _NO_CONTENT)
    add("POST", UPLOADS, begin_upload, "begin_upload", "Begin an upload", 201, body=UploadBody)
    add(
        "POST",
        f"{UPLOADS}/{{upload_id}}",
        store_upload,
        "send_upload",
        "Send an upload's file",
        _NO_CONTENT,
        requestBody=_FILE,
    )
    secret = "/v1/webhook-secret"
    add("GET", secret, webhook_secret, "get_webhook_secret", "What webhooks are signed with", 200, body=SecretBody)
    router.add_api_route(f"{RESULTS}{{name:path}}", result, methods=["GET"], include_in_schema=False)
    return router


def _add(
    router: APIRouter,
    method: str,
    path: str,
    endpoint: Any,
    operation_id: str,
    summary: str,
    status: int,
    *,
    body: type[BaseModel] | None = None,
    links: dict[str, Any] | None = None,
    **operation: Any,
) -> None:
    """A route and its OpenAPI: `body` and `links` of its answer, and what `operation` says of its request."""
    answer: dict[str, Any] = {"model": body} if body else {}
    if links:
        answer["links"] = links
    router.add_api_route(
        path,
        endpoint,
        methods=[method],
        operation_id=operation_id,
        summary=summary,
        status_code=status,
        responses={status: answer, **error_responses()},
        openapi_extra=operation,
    )


def _job_request() -> dict[str, Any]:
    """The body of POST /v1/jobs for OpenAPI: the features by all their names, and the fields of all of them."""
    schema = JobRequest.model_json_schema()
    names = sorted({name for known in features.FEATURES for name in (known.name, known.endpoint, known.short)})
    fields: dict[str, Any] = {name: {"type": "string"} for name in _UPLOAD_FIELDS}
    for known in features.FEATURES:
        fields |= known.request.model_json_schema()["properties"]
    schema["properties"]["feature"]["enum"] = names
    schema["properties"]["input"] |= {"properties": fields, "additionalProperties": False}
    example = {"feature": "super-resolution", "input": {"img": EXAMPLE_IMAGE, "scale": 2}, "accept": "image/png"}
    return {"required": True, "content": {JSON: {"schema": schema, "example": example}}}


def phrase(desk: Desk, job: Job) -> dict[str, Any]:
    """The job as callers and webhooks are told of it."""
    return {
        "id": job.id,
        "feature": job.feature,
        "state": job.state,
        "progress": {"value": round(job.progress.value, 3), "estimated": job.progress.estimated},
        "created_at": _time(job.created),
        "finished_at": None if job.finished is None else _time(job.finished),
        "expires_at": _time(job.expires),
        "result": None if job.result is None else _phrase_result(desk, job),
        "error": None if job.error is None else job.error.as_error().body(job.id)["error"],
        "webhook": None if job.webhook is None else _phrase_webhook(job),
    }


def phrase_webhook(desk: Desk, job: Job) -> str:
    """The body of a webhook (Standard Webhooks: type, timestamp, data)."""
    assert job.finished is not None
    told = phrase(desk, job) | {"webhook": None}
    return json.dumps({"type": f"job.{job.state}", "timestamp": _time(job.finished), "data": told})


def _phrase_result(desk: Desk, job: Job) -> dict[str, Any]:
    assert job.result is not None
    kept = job.result
    told = {"url": desk.link(job), "media_type": kept.media_type, "size": kept.size}
    return told | ({"attributes": kept.attributes} if kept.attributes else {})


def _phrase_webhook(job: Job) -> dict[str, Any]:
    assert job.webhook is not None
    log = [
        {"at": _time(tried.at), "status": tried.status, "outcome": tried.outcome} for tried in job.webhook.deliveries
    ]
    return {"url": job.webhook.url, "delivered": job.webhook.delivered, "deliveries": log}


def _answer(desk: Desk, job: Job, status: int) -> Response:
    headers = {"location": f"{JOBS}/{job.id}"} if status == 202 else {}
    if not job.state.is_terminal:
        headers["retry-after"] = str(_POLL_SECONDS)
    return JSONResponse(phrase(desk, job), status, headers)


def _wait_seconds(request: Request) -> float:
    """n of `Prefer: wait=n` (RFC 7240), 0 without."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return float(found[1]) if found else 0


async def _submit(desk: Desk, request: Request, tenant: str, wanted: JobRequest, wish: JobWish) -> Job:
    """The accepted job. Raises what `Desk.submit` raises, and BadRequest, NotFound for uploads."""
    fields, uploads = dict(wanted.input), {}
    for name, field in _UPLOAD_FIELDS.items():
        if name in fields:
            if field in fields:
                raise BadRequest(f"{name} and {field} are both given. Send one.", param=name)
            uploads[field] = await desk.find_upload(tenant, str(fields.pop(name)))
    async with desk.reading(request, tenant, *uploads.values()) as images:
        call = Call.from_fields(wanted.feature, fields, wanted.accept, dict(zip(uploads, images, strict=True)))
        return await desk.submit(request, tenant, call, wish)


async def _file_of(request: Request, body: bytes) -> bytes:
    """The file of a form, or the body as it is."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(FORM):
        return body
    files, _ = await read_form(request.headers, body)
    if len(files) != 1:
        raise BadRequest("Send one file, as the field `file`.", param="file")
    return next(iter(files.values()))


def _time(seconds: float) -> str:
    """RFC 3339, in UTC."""
    return (
        datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
