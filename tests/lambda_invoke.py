"""A stand-in for Lambda's Invoke API, with our own function behind it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from pixelserve.serving import aws_lambda
from pixelserve.settings import settings


class _Invoke(BaseHTTPRequestHandler):
    """Invoke (API reference): the event to the function, its value back. A scripted answer goes before."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        event = self.rfile.read(int(self.headers["content-length"]))
        server.calls.append((self.path, json.loads(event)))
        status, headers, value = server.scripted or (200, {}, None)
        if server.scripted is None:
            context = SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: 60_000)
            value = aws_lambda.handler(json.loads(event), context)
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def function_running(feature: str) -> Iterator[Any]:
    """A server of Invoke with our function of a feature: `calls` are what it was sent, `scripted` goes before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELSERVE_FEATURE", feature)
        settings.cache_clear()
        aws_lambda.load.cache_clear()
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Invoke)
        server.calls, server.scripted = [], None
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    settings.cache_clear()
    aws_lambda.load.cache_clear()
