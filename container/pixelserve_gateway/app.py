"""The gateway's ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

import pixelserve
from pixelserve.errors import BadRequest, MethodNotAllowed, NotFound, PixelserveError
from pixelserve_gateway.calls import Calls
from pixelserve_gateway.dialects import ai_solution_kit, native
from pixelserve_gateway.edge import Edge, error_response
from pixelserve_gateway.page import build_router as build_pages
from pixelserve_gateway.runtime import Runtime, Signer, service_url
from pixelserve_gateway.settings import GatewaySettings

_RAISED = {404: NotFound, 405: MethodNotAllowed}
"""What the router raises, as errors of ours."""


def create_app(settings: GatewaySettings) -> FastAPI:
    """The application. Raises Unavailable where AWS is to be called and there are no credentials."""
    runtime = _connect(settings)
    calls = Calls(runtime, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await runtime.close()

    app = FastAPI(
        title="pixelserve",
        version=pixelserve.__version__,
        description="Image models behind one address.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(native.build_router(calls, settings.max_body_bytes), tags=["Features"])
    app.add_api_route("/health", _health, methods=["GET"], summary="Whether the gateway answers", tags=["Service"])
    app.include_router(build_pages(calls.served, native.PATHS, "NONE"))
    app.include_router(ai_solution_kit.build_router(calls, settings.max_body_bytes))
    app.add_exception_handler(PixelserveError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_middleware(Edge, origins=settings.cors_origins)
    return app


def _connect(settings: GatewaySettings) -> Runtime:
    if settings.runtime:
        return Runtime(settings.runtime)
    return Runtime(service_url(settings.region), Signer(settings.region))


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PixelserveError)
    return error_response(error, request.state.request_id)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _RAISED.get(error.status_code, BadRequest)
    message = f"There is no {request.method} {request.url.path} here. GET /openapi.json lists what there is."
    return error_response(kind(message), request.state.request_id)
