"""Our own API: POST /v1/FEATURE of JSON, an image file or a form; JSON or an image file back, by Accept."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pixelserve.errors import BadRequest, UnsupportedMediaType
from pixelserve.features import Feature
from pixelserve.media_types import JSON, MEDIA_TYPES, RAW, essence, is_json, resolve_type
from pixelserve.schema import parse_text
from pixelserve.wire import ATTRIBUTES
from pixelserve_gateway.calls import Call, Calls
from pixelserve_gateway.edge import read_request_body

PATHS = {
    "image_super_resolution": "/v1/super-resolution",
    "human_image_segmentation": "/v1/segmentation",
    "image_similarity": "/v1/similarity",
}
FORM = "multipart/form-data"
_FILE_FIELDS = {"image": "img", "image_1": "img_1", "image_2": "img_2"}
"""Names of a form's files beside those of the schema."""
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
_EXAMPLES: dict[str, dict[str, Any]] = {
    "image_super_resolution": {
        "url": {"url": "https://example.com/photo.jpg", "scale": 4, "format": "jpeg", "quality": 90},
        "img": {"img": "iVBORw0KGgo…", "scale": 2},
    },
    "human_image_segmentation": {"url": {"url": "https://example.com/people.jpg", "type": "foreground"}},
    "image_similarity": {
        "one": {"url": "https://example.com/photo.jpg", "normalize": True},
        "two": {"url_1": "https://example.com/a.jpg", "url_2": "https://example.com/b.jpg"},
    },
}
_ANSWER_EXAMPLES: dict[str, dict[str, Any]] = {
    "image_super_resolution": {"image": {"result": "iVBORw0KGgo…"}},
    "human_image_segmentation": {"image": {"result": "iVBORw0KGgo…"}},
    "image_similarity": {
        "one": {"result": [-0.025553, 0.012956], "normalized": False},
        "two": {"similarity": 0.95421, "cosine": 0.90842},
    },
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


def build_router(calls: Calls, max_body_bytes: int) -> APIRouter:
    """The routes of the features that `calls` serves."""
    router = APIRouter()
    for feature in calls.served:
        endpoint, path = _route(calls, feature, max_body_bytes), PATHS[feature.name]
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            summary=feature.title,
            description=feature.description,
            operation_id=feature.name,
            responses=_responses(feature),
            openapi_extra={"requestBody": _request_body(feature), "parameters": _parameters(feature)},
            response_class=Response,
        )
        router.add_api_route(f"{path}/", endpoint, methods=["POST"], include_in_schema=False)
    return router


def _route(calls: Calls, feature: Feature, max_body_bytes: int) -> Any:
    async def answer(request: Request) -> Response:
        call = await read_call(request, feature, max_body_bytes)
        result = await calls.invoke(call, request_id=request.state.request_id, traceparent=request.state.traceparent)
        headers = {ATTRIBUTES: result.attributes} if result.attributes else {}
        return Response(result.body, media_type=result.media_type, headers=headers)

    return answer


async def read_call(request: Request, feature: Feature, max_body_bytes: int) -> Call:
    """The call of a request. Options of an image file are query parameters, those of a form its fields.

    Raises BadRequest, BodyTooLarge, NotAcceptable, UnsupportedMediaType.
    """
    body = await read_request_body(request, max_body_bytes)
    accept = request.headers.get("accept", "*/*")
    given = request.headers.get("content-type", "")
    if essence(given) == FORM:
        return await _read_form(feature, request.headers, body, accept)
    content_type = resolve_type(given, body)
    if is_json(content_type):
        _refuse_options(request)
        return await asyncio.to_thread(Call.from_body, feature.name, body, JSON, "", accept)
    if content_type.startswith("image/") or essence(content_type) in (RAW, "application/x-image"):
        options = {name: parse_text(value) for name, value in request.query_params.items()}
        return Call.from_image(feature.name, body, options, accept)
    raise UnsupportedMediaType(f"Content type {given} is not read here. Send {JSON}, {FORM}, or an image as image/*.")


def _refuse_options(request: Request) -> None:
    """Raises BadRequest for query parameters beside a body that holds them."""
    if request.query_params:
        name = next(iter(request.query_params))
        raise BadRequest("Query parameters go with an image as the body. Put them into the JSON.", param=name[:40])


async def _read_form(feature: Feature, headers: Headers, body: bytes, accept: str) -> Call:
    """The call of a form: files as image, or image_1 and image_2, or under the schema's names; other fields as text.

    A browser sends what its user left empty as a field without text, or a file without a name: these count as absent.
    """

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await MultiPartParser(headers, stream(), max_files=2, max_part_size=len(body) + 1).parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "it has no boundary")
        raise BadRequest(f"The form cannot be read: {reason}. Let your HTTP client write it.") from None
    try:
        files = {
            name: await value.read()
            for name, value in form.multi_items()
            if isinstance(value, UploadFile) and value.filename
        }
        fields = {name: parse_text(value) for name, value in form.multi_items() if isinstance(value, str) and value}
    finally:
        await form.close()
    images = {_FILE_FIELDS.get(name, name): data for name, data in files.items()}
    if set(images) == {"img"}:
        return Call.from_image(feature.name, images["img"], fields, accept)
    encoded = {name: base64.b64encode(data).decode() for name, data in images.items()}
    return Call.from_fields(feature.name, fields | encoded, accept)


def _request_body(feature: Feature) -> dict[str, Any]:
    schema = feature.request.model_json_schema()
    examples = {name: {"value": value} for name, value in _EXAMPLES[feature.name].items()}
    file = {"type": "string", "format": "binary"}
    files = [name for name, field in _FILE_FIELDS.items() if field in schema["properties"]]
    form = {"type": "object", "properties": dict.fromkeys(files, file) | _describe_fields(feature, ("img",))}
    content = {JSON: {"schema": schema, "examples": examples}, FORM: {"schema": form}, "image/*": {"schema": file}}
    return {"required": True, "content": content}


def _parameters(feature: Feature) -> list[dict[str, Any]]:
    """The options that an image file as the body takes from the query."""
    return [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": schema.pop("description", "")}
        for name, schema in _describe_fields(feature, ("img", "url")).items()
    ]


def _describe_fields(feature: Feature, excluded: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Schemas of the request's fields for queries and forms, by name, but for those whose names begin as `excluded` do.

    Defaults are told in words: pages made of an OpenAPI document, such as Swagger UI, would send each of them along.
    """
    described = {}
    for name, schema in feature.request.model_json_schema()["properties"].items():
        if name.startswith(excluded):
            continue
        default = schema.pop("default", None)
        told = "" if default is None else f" Default: {json.dumps(default)}."
        described[name] = schema | {"description": schema.get("description", "") + told}
    return described


def _responses(feature: Feature) -> dict[int | str, dict[str, Any]]:
    examples = {name: {"value": value} for name, value in _ANSWER_EXAMPLES[feature.name].items()}
    content: dict[str, Any] = {JSON: {"schema": {"type": "object"}, "examples": examples}}
    if feature.answer != JSON:
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}
    error = {JSON: {"schema": ERROR_SCHEMA, "example": _ERROR_EXAMPLE}}
    return {
        200: {"description": "The answer, in the first type of Accept that fits.", "content": content},
        **{status: {"description": text, "content": error} for status, text in _ERRORS.items()},
    }
