"""The least that a gateway can be: Starlette, which passes what comes on to RUNTIME by httpx, and its answer back."""

import contextlib
import os
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

client = httpx.AsyncClient(base_url=os.environ["RUNTIME"], timeout=60, trust_env=False)


async def pass_on(request: Request) -> Response:
    headers = {name: value for name, value in request.headers.items() if name in ("content-type", "accept")}
    answer = await client.post("/endpoints/any/invocations", content=await request.body(), headers=headers)
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with client:
        yield


app = Starlette(routes=[Route("/{path:path}", pass_on, methods=["GET", "POST"])], lifespan=lifespan)
