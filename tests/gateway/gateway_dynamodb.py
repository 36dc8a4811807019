"""moto's DynamoDB and S3 as a server of their own: `python gateway_dynamodb.py`, which prints its URL.

DynamoDB serialises the writes to an item; moto does not, when it is called by several threads. So this server answers
one request at a time.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def make() -> BaseWSGIServer:
    """The server, bound to a free port of loopback."""
    dispatcher = DomainDispatcherApplication(create_backend_app)
    turn = threading.Lock()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with turn:
            return list(dispatcher(environ, start_response))

    return make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)


if __name__ == "__main__":
    server = make()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
