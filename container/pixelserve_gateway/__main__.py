"""`python -m pixelserve_gateway`: the gateway as its environment says, until a signal or AWS Lambda ends it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import uvicorn

from pixelserve.callers import Arrivals, ArrivalsMiddleware, Connection, Unread
from pixelserve.errors import PixelserveError, Unavailable
from pixelserve.machine import raise_file_limit
from pixelserve.observe import configure, tracing
from pixelserve.processes import give_memory_back
from pixelserve.wire import bind
from pixelserve_gateway import aws_lambda
from pixelserve_gateway.app import SERVICE, create_app
from pixelserve_gateway.settings import GatewaySettings
from pixelserve_gateway.tls import certificate_for

KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep theirs (60 s of AWS's), which would send a request into a connection that closes."""
DRAIN_SECONDS = 25
"""Given to requests in work after a signal."""


def main() -> int:
    if aws_lambda.is_here():
        return aws_lambda.main()
    give_memory_back()
    try:
        settings = GatewaySettings.from_env()
        configure(settings.log_level)
        tracing.configure(SERVICE)
        app = create_app(settings)
        certificate = certificate_for(settings.tls_names, Path(settings.state).expanduser())
        listener = bind(settings.host, settings.port, "Choose another with PIXELSERVE_GATEWAY_PORT.")
    except PixelserveError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 1
    connection = partial(
        Connection,
        settings.arrival_seconds,
        settings.arrival_rate,
        min(settings.connections, raise_file_limit() // 3),  # a caller's call to an endpoint, which ends with it, too
        Unread(settings.body_room),
    )
    arrivals = Arrivals(
        settings.arrival_seconds, settings.arrival_rate, settings.max_body_bytes, settings.body_room, Unavailable
    )
    config = uvicorn.Config(
        ArrivalsMiddleware(app, arrivals),
        http=connection,  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=certificate,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    uvicorn.Server(config).run([listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
