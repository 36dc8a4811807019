"""Our own API: POST /v1/FEATURE of JSON, an image file or a form; JSON or an image file back, by Accept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers

from pixelserve.errors import BadRequest, UnsupportedMediaType
from pixelserve.features import FEATURES, Feature
from pixelserve.media_types import JSON, MEDIA_TYPES, RAW, essence, is_json, resolve_type
from pixelserve.schema import parse_text
from pixelserve.wire import ATTRIBUTES
from pixelserve_gateway.calls import Call
from pixelserve_gateway.desk import Desk
from pixelserve_gateway.dialects.answers import EXAMPLE_IMAGE, error_responses
from pixelserve_gateway.forms import FORM, read_form

PATHS = {feature.name: f"/v1/{feature.short}" for feature in FEATURES}
_FILE_FIELDS = {"image": "img", "image_1": "img_1", "image_2": "img_2"}
"""Names of a form's files beside those of the schema."""
_EXAMPLES: dict[str, dict[str, Any]] = {
    "image_super_resolution": {
        "url": {"url": "https://example.com/photo.jpg", "scale": 4, "format": "jpeg", "quality": 90},
        "img": {"img": EXAMPLE_IMAGE, "scale": 2},
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


def build_router(desk: Desk) -> APIRouter:
    """The routes of the features that are served."""
    router = APIRouter()
    for feature in desk.calls.served:
        endpoint, path = _route(desk, feature), PATHS[feature.name]
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


def _route(desk: Desk, feature: Feature) -> Any:
    async def answer(request: Request) -> Response:
        _, body = await desk.auth.admit_body(request, desk.settings.max_body_bytes, feature.name)
        result = await desk.invoke(request, await read_call(request, feature, body))
        headers = {ATTRIBUTES: result.attributes} if result.attributes else {}
        return Response(result.body, media_type=result.media_type, headers=headers)

    return answer


async def read_call(request: Request, feature: Feature, body: bytes) -> Call:
    """The call of a request. Options of an image file are query parameters, those of a form its fields.

    Raises BadRequest, BodyTooLarge, NotAcceptable, UnsupportedMediaType.
    """
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
    """The call of a form: files as image, or image_1 and image_2, or under the schema's names; other fields as text."""
    files, fields = await read_form(headers, body)
    images = {_FILE_FIELDS.get(name, name): data for name, data in files.items()}
    if set(images) == {"img"}:
        return Call.from_image(feature.name, images["img"], fields, accept)
    return Call.from_fields(feature.name, fields, accept, images)


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
    return {
        200: {"description": "The answer, in the first type of Accept that fits.", "content": content},
        **error_responses(),
    }
