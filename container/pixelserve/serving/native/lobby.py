"""What the supervisor answers by itself: while no worker is ready, and in place of one that died or stands still."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from pixelserve.callers import Arrivals
from pixelserve.errors import ClientGone, DeadlineExceeded, NotReady, PixelserveError, Unavailable, WorkerLost
from pixelserve.observe import Metrics
from pixelserve.serving.answers import Answer
from pixelserve.serving.context import Context
from pixelserve.serving.contract import READY, Caller, Contract, RequestHeaders
from pixelserve.serving.native.waiting import hang_up
from pixelserve.settings import Settings
from pixelserve.wire import closing_answer

logger = logging.getLogger("pixelserve.supervisor")

ANSWER_SECONDS = 5.0
"""For writing an answer in place of a worker, and reading what its caller still sends."""


class Lobby(Contract):
    """The contract in the supervisor: `/ping`, and 503 with the reason while no worker is ready.

    `reason` is None while one is.
    """

    def __init__(self, settings: Settings, process_metrics: Metrics, reason: Callable[[], Unavailable | None]) -> None:
        super().__init__(settings, process_metrics)
        self._arrivals = Arrivals(settings.silence_seconds, settings.arrival_rate, 0, 0, NotReady)
        self._reason = reason

    def ping(self) -> Answer:
        reason = self._reason()
        if reason is not None:
            raise reason
        return READY

    def check_room(self) -> None:
        """The reason comes after the body: it closes the connection, which would cut off a body on its way."""

    async def _read_body(self, headers: RequestHeaders, receive: Any, limit: int | None = None) -> bytes:
        """Reads the body and keeps nothing of it, so that its sender gets to read the reason."""
        dropped = 0
        with self._arrivals.hold(receive) as arriving:
            while dropped <= 4 * self._settings.max_body_bytes:
                message = await arriving.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone("The client closed the connection before the whole body was there.")
                dropped += len(message["body"])
                if not message.get("more_body", False):
                    break
        return b""

    async def infer(self, caller: Caller, body: bytes, context: Context) -> Answer:
        raise self._reason() or NotReady("No worker could take it at once. Send it again.", retry_after=1)


UNREAD = NotReady("The handler has stopped its worker, which has not read this request. Send it again.", retry_after=1)
FULL = Unavailable("The worker has too many files open to take this connection. Send it again.", retry_after=1)
LOST = WorkerLost("The worker ended while it had this request. Send it again.", retry_after=1)
OVERDUE = DeadlineExceeded(
    "No answer in time: the handler holds the interpreter's lock. Send a smaller input, or try again under less load.",
    retry_after=1,
)


async def answer_instead(connection: socket.socket, error: PixelserveError) -> None:
    """Answers in place of a worker, then reads what the caller still sends so that the answer gets there."""
    request_id = os.urandom(16).hex()
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    logger.warning("answered %d in place of a worker", error.status, extra={"fields": {"request_id": request_id}})
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            await loop.sock_sendall(connection, closing_answer(error, request_id))
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, 65536):
                pass
    hang_up(connection)
