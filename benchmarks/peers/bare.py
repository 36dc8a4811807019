"""The least an ASGI app can do for the trivial requests of benchmarks/serving.py."""

import json
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message["body"])
        more = message.get("more_body", False)
    body = b"".join(chunks)
    content_type = dict(scope["headers"])[b"content-type"]
    if content_type == b"application/json":
        body = json.dumps({"score": 2 * json.loads(body)["x"]}).encode()
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
