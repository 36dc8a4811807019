"""The gateway's ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

import pixelserve
from pixelserve.errors import BadRequest, MethodNotAllowed, NotFound, PixelserveError, Unavailable
from pixelserve_gateway.auth import IAM, KEYS, NONE
from pixelserve_gateway.dialects import (
    ai_solution_kit,
    answers,
    dreamina,
    dreamina_uploads,
    hidream,
    native,
    native_jobs,
)
from pixelserve_gateway.edge import Edge, error_response
from pixelserve_gateway.jobs import RETRY_SECONDS, Phrase
from pixelserve_gateway.opening import Office, open_office
from pixelserve_gateway.page import Authorization
from pixelserve_gateway.page import build_router as build_pages
from pixelserve_gateway.settings import GatewaySettings

SERVICE = "pixelserve-gateway"
"""Its name in traces."""
SILENT_SECONDS = 5.0
"""`/health` tells of a store that has not answered for so long."""
_AUTHORIZATIONS: dict[str, Authorization] = {NONE: "NONE", KEYS: "API_KEY", IAM: "AWS_IAM"}
"""What the pages call the ways of asking who calls."""
_RAISED = {404: NotFound, 405: MethodNotAllowed}
"""What the router raises, as errors of ours."""


def create_app(settings: GatewaySettings, *, is_public: bool = False) -> FastAPI:
    """The application. Raises Unavailable where AWS or the store of jobs cannot be used.

    A public one takes calls of web pages from everywhere, also where nobody is asked who calls.
    """
    phrases: dict[str, Phrase] = {}
    office = open_office(settings, phrases)
    desk = office.desk
    for told in (native_jobs, hidream):
        phrases[told.DIALECT] = partial(told.phrase_webhook, desk)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with office.running():
            yield

    app = FastAPI(
        title="pixelserve",
        version=pixelserve.__version__,
        description="Image models behind one address.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # FastAPI's own: Edge has a span already
    )
    app.state.office = office
    app.include_router(native.build_router(desk), tags=["Features"])
    app.include_router(native_jobs.build_router(desk), tags=["Jobs"])
    app.add_api_route(
        "/health",
        _health,
        methods=["GET"],
        summary="Whether gateway and store answer",
        responses={503: answers.error_responses()[503]},
        tags=["Service"],
    )
    app.include_router(dreamina_uploads.build_router(desk))  # before the pages: `/` with an Action is its
    if settings.pages:
        pages = build_pages(
            desk.calls.served,
            native.PATHS,
            _AUTHORIZATIONS[desk.auth.mode],
            jobs=not settings.results.startswith("s3://"),
        )
        app.include_router(pages)
    app.include_router(hidream.build_router(desk))
    app.include_router(dreamina.build_router(desk))
    app.include_router(ai_solution_kit.build_router(desk))  # the last: any stage may stand before its paths
    app.add_exception_handler(PixelserveError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_middleware(
        Edge,
        origins=settings.cors_origins,
        refuses_web_pages=desk.auth.mode == NONE and not is_public,
        phrase=_phrase_refusal,
        spares=dreamina_uploads.is_of_no_browser,
    )
    return app


async def _health(request: Request) -> dict[str, str]:
    office: Office = request.app.state.office
    silence = office.jobs.service.threads.silence
    if silence >= SILENT_SECONDS:
        raise Unavailable(
            f"The store of jobs and keys has not answered for {silence:.0f} s.", retry_after=RETRY_SECONDS
        )
    return {"status": "ok"}


def _phrase_refusal(request: Request, error: PixelserveError) -> JSONResponse:
    """Below Dreamina's prefixes every answer is of its shape."""
    if request.url.path.startswith(dreamina.PREFIXES):
        return dreamina.phrase_error(request, error)
    return error_response(error, request.state.request_id)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PixelserveError)
    return error_response(error, request.state.request_id)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][1])  # behind "query" or "path"
    return error_response(BadRequest(f"{name}: {first['msg']}.", param=name), request.state.request_id)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _RAISED.get(error.status_code, BadRequest)
    message = f"There is no {request.method} {request.url.path} here. GET /openapi.json lists what there is."
    response = error_response(kind(message), request.state.request_id)
    response.headers.update(error.headers or {})  # Allow, of 405
    return response
