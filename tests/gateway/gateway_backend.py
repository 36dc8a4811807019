"""A fast endpoint behind the SageMaker Runtime API: `python gateway_backend.py FD SECONDS FOLDER`.

It answers an invocation after that many seconds with its body in capitals, an asynchronous one in a file of FOLDER.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

import uvicorn

SECONDS = float(sys.argv[2])
FOLDER = Path(sys.argv[3])
TASKS: set[asyncio.Task[None]] = set()


async def write(body: bytes, output: Path) -> None:
    await asyncio.sleep(SECONDS)
    unfinished = output.with_suffix(".unfinished")
    unfinished.write_bytes(body.upper())
    unfinished.replace(output)


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    assert scope["method"] == "POST"
    if scope["path"] == "/endpoints/upper/async-invocations":
        output = FOLDER / f"{uuid.uuid4()}.out"
        TASKS.add(asyncio.create_task(write(body, output)))
        location = (b"x-amzn-sagemaker-outputlocation", output.as_uri().encode())
        await send({"type": "http.response.start", "status": 202, "headers": [location]})
        await send({"type": "http.response.body", "body": b""})
        return
    assert scope["path"] == "/endpoints/upper/invocations"
    await asyncio.sleep(SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/png")]})
    await send({"type": "http.response.body", "body": body.upper()})


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    asyncio.run(server.serve(sockets=[socket.socket(fileno=int(sys.argv[1]))]))
