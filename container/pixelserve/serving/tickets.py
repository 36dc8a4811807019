"""Requests on their way through an engine, and how long its stages take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pixelserve.errors import ClientGone
from pixelserve.serving.answers import Answer
from pixelserve.serving.context import Context


class Stage:
    """How long a stage takes: a moving average of seconds, None until measured."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self.seconds: float | None = None
        self._observe = observe

    def record(self, seconds: float) -> None:
        self.seconds = seconds if self.seconds is None else 0.8 * self.seconds + 0.2 * seconds
        self._observe(seconds)


@dataclass(slots=True, eq=False)
class Ticket:
    """One request on its way. Each function's result takes the place of what it was made from, to free its memory."""

    body: bytes
    context: Context
    future: asyncio.Future[Answer]
    data: Any = None
    """What input_fn gave."""
    prediction: Any = None
    """What predict_fn gave."""
    queued: float = 0.0
    stage: str = "input_fn"
    is_decoded: bool = False

    def hang_up(self) -> None:
        """The caller has gone: the work on this request ends at its next step."""
        self.context.client_gone = True
        if not self.future.done():
            self.future.set_exception(ClientGone("The client closed the connection."))


def group_by_shape(batch: Iterable[Ticket]) -> list[list[Ticket]]:
    """The tickets grouped by the shape of their data (arrays and tensors); data without a shape is one group."""
    groups: dict[tuple[int, ...], list[Ticket]] = {}
    for ticket in batch:
        groups.setdefault(tuple(getattr(ticket.data, "shape", ())), []).append(ticket)
    return list(groups.values())
