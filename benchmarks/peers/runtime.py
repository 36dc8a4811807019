"""An endpoint behind the SageMaker Runtime API that answers at once: an image with itself, JSON with a vector."""

import json
from typing import Any

VECTOR = json.dumps({"result": [0.123456] * 512}).encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message["body"])
        more = message.get("more_body", False)
    accept = dict(scope["headers"]).get(b"accept", b"text/plain")
    body = VECTOR if accept == b"application/json" else b"".join(chunks)
    headers = [(b"content-type", accept), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
