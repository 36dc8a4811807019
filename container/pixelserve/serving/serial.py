"""One request after another, all calls of the handler on the device thread.

That is what a handler expects that keeps a request in a global, a connection of sqlite or an event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pixelserve.observe import Metrics
from pixelserve.serving.context import Context
from pixelserve.serving.engine import Engine, Work
from pixelserve.serving.handler import Handler
from pixelserve.serving.tickets import Ticket
from pixelserve.settings import Settings


class DeviceThread(Protocol):
    """The thread on which a handler is called, which may be the event loop's while that stands still."""

    def run(self, work: Work) -> None:
        """Called on the event loop: does `work` on the thread, after what was asked for before."""

    def call_back(self, function: Callable[..., None], *arguments: Any) -> None:
        """Called by work: calls a function as the event loop would."""


class SerialEngine(Engine):
    """A batch, for a handler that has predict_batch_fn, is what has gathered while the thread was busy."""

    def __init__(
        self, handler: Handler, model: Any, settings: Settings, metrics: Metrics, thread: DeviceThread
    ) -> None:
        super().__init__(handler, model, settings, metrics)
        self._thread = thread
        self._most = 1 if handler.predict_batch_fn is None else settings.batch_size

    def submit(self, body: bytes, context: Context) -> Ticket:
        ticket = super().submit(body, context)
        self._thread.run(self._serve_next)
        return ticket

    def _admit(self) -> None:
        """The device thread takes the next by itself."""

    def _call_back(self, function: Callable[..., None], *arguments: Any) -> None:
        self._thread.call_back(function, *arguments)

    def _serve_next(self) -> None:
        """Serves the request that has waited longest, if it has not left or been taken with others before."""
        batch = self._take()
        for ticket in self._predict_batch([ticket for ticket in batch if self._decode_if_needed(ticket)]):
            self._encode_and_leave(ticket)

    def _take(self) -> list[Ticket]:
        batch: list[Ticket] = []
        while len(batch) < self._most:
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                break
            self._in_work.add(ticket)
            self._note_wait(ticket)
            batch.append(ticket)
        return batch
