"""Structured logs: one JSON object a line on standard output. Payloads never appear."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import traceback
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve.observe.lines import PROGRESS

logger = logging.getLogger("pixelserve")


class JsonFormatter(logging.Formatter):
    """`{"ts", "level", "logger", "message", ...}`; fields given as `extra={"fields": {...}}` join the object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


def configure(level: int) -> None:
    """Sends every logger of this process to standard output as JSON lines."""
    stream = logging.StreamHandler(sys.stdout)
    stream.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[stream], force=True)
    logging.captureWarnings(True)
    for client in ("httpx", "httpcore"):  # a line for each request they make otherwise, signed URLs included
        logging.getLogger(client).setLevel(max(level, logging.WARNING))


def log_failure(error: BaseException, request_id: str, function: str) -> None:
    """A handler's own failure with its frames. Its message may quote the payload, so that is kept for level DEBUG."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    message = str(error) if logger.isEnabledFor(logging.DEBUG) else "(shown at level DEBUG: it may quote the payload)"
    fields = {"request_id": request_id, "exception": type(error).__name__, "detail": message, "traceback": frames}
    logger.error("%s failed", function, extra={"fields": fields})


def log_progress(request_id: str, done: int, total: int) -> None:
    """How far a request is, at level DEBUG: `LogLine.progress` reads it back."""
    logger.debug(PROGRESS, extra={"fields": {"request_id": request_id, "done": done, "total": total}})


def log_load_failure(error: PixelserveError) -> None:
    """Why a model did not load; with the traceback of the cause, unless that is an error that says what to do."""
    cause = error.__cause__
    logger.error(
        "the model did not load: %s", error.message, exc_info=None if isinstance(cause, PixelserveError) else cause
    )


class AccessLog:
    """One line a request, written in batches every `FLUSH_SECONDS` so that no request waits for the log."""

    FLUSH_SECONDS = 0.05

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []
        self._enabled = logger.isEnabledFor(logging.INFO)

    def add(self, **fields: Any) -> None:
        """Adds a request; called on the event loop."""
        if not self._enabled:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(self.FLUSH_SECONDS, self.flush)
        self._lines.append({"ts": round(time.time(), 3), "level": "info", "logger": "pixelserve.access", **fields})

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        sys.stdout.write("".join(json.dumps(line) + "\n" for line in lines))
        sys.stdout.flush()
