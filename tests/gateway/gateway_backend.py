"""A fast endpoint behind the SageMaker Runtime API: `python gateway_backend.py FD SECONDS`.

It answers an invocation after that many seconds, with its body in capitals.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvicorn

SECONDS = float(sys.argv[2])


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    assert (scope["method"], scope["path"]) == ("POST", "/endpoints/upper/invocations")
    await asyncio.sleep(SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/png")]})
    await send({"type": "http.response.body", "body": body.upper()})


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    asyncio.run(server.serve(sockets=[socket.socket(fileno=int(sys.argv[1]))]))
