"""What the supervisor answers by itself: while no worker is ready, and in place of a worker that died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable

from pixelserve.errors import NotReady, Unavailable, WorkerLost
from pixelserve.observe import Metrics
from pixelserve.serving.answers import Answer, json_answer
from pixelserve.serving.context import Context
from pixelserve.serving.contract import READY, Caller, Contract
from pixelserve.serving.native.waiting import hang_up
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.supervisor")

ANSWER_SECONDS = 5.0
"""For writing an answer in place of a dead worker, and reading what its caller still sends."""


class Lobby(Contract):
    """The contract in the supervisor: `/ping`, and 503 with the reason while no worker is ready.

    `reason` is None while one is.
    """

    def __init__(self, settings: Settings, process_metrics: Metrics, reason: Callable[[], Unavailable | None]) -> None:
        super().__init__(settings, process_metrics)
        self._reason = reason

    def ping(self) -> Answer:
        reason = self._reason()
        if reason is not None:
            raise reason
        return READY

    def check_room(self) -> None:
        """The reason comes after the body: it closes the connection, which would cut off a body on its way."""

    async def infer(self, caller: Caller, body: bytes, context: Context) -> Answer:
        raise self._reason() or NotReady("The model has just become ready. Send it again.", retry_after=1)


async def answer_lost(connection: socket.socket) -> None:
    """Answers a request whose worker died, then reads what its caller still sends so that the answer gets there."""
    error = WorkerLost("The worker ended while it had this request. Send it again.", retry_after=1)
    request_id = os.urandom(16).hex()
    body = json_answer(error.body(request_id)).parts[0]
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: 1\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    logger.warning("answered 503 for a worker that ended", extra={"fields": {"request_id": request_id}})
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            await loop.sock_sendall(connection, head.encode() + bytes(body))
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, 65536):
                pass
    hang_up(connection)
