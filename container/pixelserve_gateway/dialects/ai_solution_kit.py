"""The REST API of AI Solution Kit: POST of JSON, `{"result": …}` or `{"similarity": …}` back.

Paths and fields are those of its documents and of its own stacks (github.com/awslabs/aws-ai-solution-kit); a stage may
stand before each path and a slash behind it. Errors are ours: one shape, with a status that says what they are.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from pixelserve.media_types import JSON
from pixelserve.schema import read_object
from pixelserve_gateway.calls import Call
from pixelserve_gateway.desk import Desk

PATHS = {
    "image_super_resolution": ("image_super_resolution", "super-resolution-ml", "super-resolution", "resolution"),
    "human_image_segmentation": ("human_image_segmentation", "human-segmentation", "human-segmentation-ml", "seg"),
    "image_similarity": ("image_similarity", "image-similarity", "image-similarity-ml", "text_similarity"),
}
"""Of each feature, the documented path first. The documents' samples of image similarity print text_similarity."""
_PLACES = ("/{path}", "/{path}/", "/{{stage}}/{path}", "/{{stage}}/{path}/")
_ANSWERED = ("result", "similarity")
"""Fields of an answer; what an endpoint says beside them is not the kit's."""


def build_router(desk: Desk) -> APIRouter:
    """The routes of the features that are served."""
    router = APIRouter(include_in_schema=False)
    for feature in desk.calls.served:
        endpoint = _route(desk, feature.name)
        for path in PATHS[feature.name]:
            for place in _PLACES:
                router.add_api_route(place.format(path=path), endpoint, methods=["POST"])
    return router


def _route(desk: Desk, feature: str) -> Any:
    async def answer(request: Request) -> Response:
        _, body = await desk.auth.admit_body(request, desk.settings.max_body_bytes, feature)
        result = await desk.invoke(request, await asyncio.to_thread(read_call, feature, body))
        return Response(phrase(result.body), media_type=JSON)

    return answer


def read_call(feature: str, body: bytes) -> Call:
    """The call of a request's body, whatever content type it came under; a URL goes before an image beside it.

    Raises BadRequest.
    """
    fields = {name: value for name, value in read_object(body).items() if value not in (None, "")}
    for suffix in ("", "_1", "_2"):
        if f"url{suffix}" in fields:
            fields.pop(f"img{suffix}", None)
    return Call.from_fields(feature, fields)


def phrase(body: bytes) -> bytes:
    """An endpoint's JSON answer with the kit's fields alone."""
    if body.startswith(b'{"result": "'):  # a picture, megabytes of it, and nothing else
        return body
    answer = json.loads(body)
    return json.dumps({name: answer[name] for name in _ANSWERED if name in answer}).encode()
