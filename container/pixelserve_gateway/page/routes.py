"""Routes of the explorer and the playground."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from pixelserve.errors import NotFound
from pixelserve.features import Feature

Authorization = Literal["NONE", "API_KEY", "AWS_IAM"]
"""What callers of the API must show: nothing, a key, or a signature of AWS (Signature Version 4)."""

STATIC = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The explorer draws its arrows as data: URLs; pictures of the playground are blob: URLs."""
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FILES = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.suffix in _MEDIA_TYPES}
"""All that is sent, by the names below /page/."""
_METHODS = ["GET", "HEAD"]


def build_router(
    served: Iterable[Feature], paths: Mapping[str, str], authorization: Authorization, *, jobs: bool = True
) -> APIRouter:
    """The routes of both pages, for the features `served`; `paths` are those of the native API, by feature's name.

    `jobs`: whether the page may use them. It may not where S3 takes uploads and gives results: that is another host.
    """
    about = {
        "authorization": authorization,
        "jobs": jobs,
        "features": [
            {
                "name": feature.name,
                "path": paths[feature.name].removeprefix("/"),
                "title": {"en": feature.title, "zh": feature.title_zh},
                "description": {"en": feature.description, "zh": feature.description_zh},
            }
            for feature in served
        ],
    }

    async def tell_service() -> Response:
        return JSONResponse(about, headers=_HEADERS)

    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", _show_playground, methods=_METHODS)
    router.add_api_route("/explorer", _show_explorer, methods=_METHODS)
    router.add_api_route("/page/service.json", tell_service, methods=_METHODS)
    router.add_api_route("/page/{name:path}", _send_static, methods=_METHODS)
    return router


async def _show_playground(request: Request) -> Response:
    return _send("playground.html", request)


async def _show_explorer(request: Request) -> Response:
    return _send("explorer.html", request)


async def _send_static(request: Request) -> Response:
    return _send(request.path_params["name"], request)


def _send(name: str, request: Request) -> Response:
    """A file of the package, or 304 for one that the reader has. Raises NotFound for what is none."""
    path = _FILES.get(name)
    if path is None:
        raise NotFound(f"There is no file {name[:80]} of the pages. GET / shows the playground, GET /explorer the API.")
    response = StaticFiles(directory=STATIC).file_response(path, path.stat(), request.scope)
    response.headers.update(_HEADERS | {"content-type": _MEDIA_TYPES[path.suffix]})
    return response
