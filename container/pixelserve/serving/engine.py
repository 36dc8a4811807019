"""The way of a request through a handler: what both kinds of engine share.

The thread that owns the model is the device thread, in a worker the process's main thread: the model is loaded there
and every call of predict_fn is made there, so a network's own threads stay one team. `SerialEngine` makes all calls of
the handler there, for one request after another; `PipelinedEngine` decodes and encodes on other threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pixelserve.errors import DeadlineExceeded, HandlerError, PixelserveError, QueueFull
from pixelserve.observe import Metrics, tracing
from pixelserve.serving.answers import Answer, explain, from_handler
from pixelserve.serving.context import Context
from pixelserve.serving.handler import Handler
from pixelserve.serving.streams import Stream
from pixelserve.serving.tickets import Stage, Ticket, group_by_shape
from pixelserve.settings import Settings

Work = Callable[[], None]
Step = Callable[[Ticket], None]


class Engine(ABC):
    """Runs one handler with its model. Its public methods are called on the event loop's thread."""

    def __init__(self, handler: Handler, model: Any, settings: Settings, metrics: Metrics) -> None:
        self._handler = handler
        self._model = model
        self._settings = settings
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._decode, self._predict, self._encode = (Stage(metrics.stage(s)) for s in ("decode", "predict", "encode"))
        self._waiting: deque[Ticket] = deque()
        self._in_work: set[Ticket] = set()
        self._begun: dict[int, float] = {}

    @abstractmethod
    def _admit(self) -> None:
        """Called when a request has come to those that wait, and when one has left."""

    @abstractmethod
    def _call_back(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls a function as the event loop would, from the thread on which the handler is called."""

    @property
    def takes_empty_body(self) -> bool:
        """Whether an empty body may mean something to the handler."""
        return self._handler.takes_empty_body

    @property
    def held(self) -> int:
        """Requests that wait or are being worked on."""
        return len(self._waiting) + len(self._in_work)

    @property
    def busy_since(self) -> float | None:
        """`time.monotonic()` when the longest call of the handler that still runs began; None while none runs."""
        return min(list(self._begun.values()), default=None)

    def check_room(self) -> None:
        """Raises QueueFull when no further request can be held."""
        if self.held >= self._settings.queue_length:
            wait = max(1, min(60, round(self.held * (self._predict.seconds or 1.0))))
            raise QueueFull(f"{self.held} requests are waiting already. Try again in {wait} s.", retry_after=wait)

    def submit(self, body: bytes, context: Context) -> Ticket:
        """Starts the handler on `body`; the ticket's future gets the answer.

        Raises QueueFull. The future raises DeadlineExceeded, ClientGone, or the handler's own PixelserveError.
        """
        self.check_room()
        ticket = Ticket(body, context, self._loop.create_future(), queued=time.perf_counter())
        timer = self._loop.call_later(context.seconds_left(), self._expire, ticket)
        self._waiting.append(ticket)
        self._admit()
        self._metrics.held(self.held)
        ticket.future.add_done_callback(lambda _: self._forget(ticket, timer))
        return ticket

    def _forget(self, ticket: Ticket, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        if ticket in self._waiting:
            with contextlib.suppress(ValueError):  # it has just come into work
                self._waiting.remove(ticket)

    def _expire(self, ticket: Ticket) -> None:
        if not ticket.future.done():
            ticket.future.set_exception(
                DeadlineExceeded(
                    f"No answer within {self._settings.timeout:g} s. Send a smaller image, try again under less "
                    "load, or use an asynchronous endpoint.",
                    retry_after=1,
                )
            )

    def _leave(self, ticket: Ticket, answer: Answer | PixelserveError) -> None:
        self._in_work.discard(ticket)
        if ticket.future.done():
            if isinstance(answer, Answer) and isinstance(answer.stream, Stream):
                answer.stream.cancel()
        elif isinstance(answer, Answer):
            ticket.future.set_result(answer)
        else:
            ticket.future.set_exception(answer)
        self._admit()
        self._metrics.held(self.held)

    # From here on: the threads on which the handler is called.

    def _note_wait(self, ticket: Ticket) -> None:
        """The ticket has left the queue."""
        seconds = time.perf_counter() - ticket.queued
        self._metrics.queue_seconds(seconds)
        tracing.record("queue", ticket.context.trace, seconds)

    def _decode_if_needed(self, ticket: Ticket) -> bool:
        """Whether the ticket has its data; otherwise it has left with its error."""
        return ticket.is_decoded or self._attempt(ticket, self._decode_step)

    def _predict_batch(self, batch: list[Ticket]) -> list[Ticket]:
        """The tickets of the batch that got a prediction; the others have left with their error."""
        if self._handler.predict_batch_fn is None:
            return [ticket for ticket in batch if self._attempt(ticket, self._predict_step)]
        alive = [ticket for ticket in batch if self._attempt(ticket, _name_batch_stage)]
        return [ticket for group in group_by_shape(alive) for ticket in self._predict_group(group)]

    def _predict_group(self, group: list[Ticket]) -> list[Ticket]:
        """One call of predict_batch_fn; when it fails, one call an item, so that a bad one fails alone."""
        assert self._handler.predict_batch_fn is not None
        started = time.perf_counter()
        try:
            with self._watch_call():
                results = self._handler.predict_batch_fn(
                    [ticket.data for ticket in group], self._model, [ticket.context for ticket in group]
                )
            if len(results) != len(group):
                raise HandlerError(f"predict_batch_fn returned {len(results)} results for {len(group)} items.")
        except BaseException as error:  # noqa: BLE001  a user's code may raise anything
            if len(group) > 1:
                return [ticket for single in group for ticket in self._predict_group([single])]
            self._fail(group[0], error)
            return []
        seconds = time.perf_counter() - started
        self._predict.record(seconds / len(group))
        self._metrics.batch_size(len(group))
        for ticket in group:
            tracing.record("predict_batch_fn", ticket.context.trace, seconds)
        for ticket, result in zip(group, results, strict=True):
            if isinstance(result, BaseException):
                self._fail(ticket, result)
            else:
                ticket.data, ticket.prediction = None, result
        return [ticket for ticket, result in zip(group, results, strict=True) if not isinstance(result, BaseException)]

    @contextlib.contextmanager
    def _watch_call(self) -> Iterator[None]:
        """Entered for each call of the handler, so that one that never returns is noticed."""
        thread = threading.get_ident()
        self._begun[thread] = time.monotonic()
        try:
            yield
        finally:
            del self._begun[thread]

    def _encode_and_leave(self, ticket: Ticket) -> None:
        try:
            answer = self._encode_step(ticket)
        except BaseException as error:  # noqa: BLE001  a user's code may raise anything
            self._fail(ticket, error)
        else:
            self._hand_over(ticket, answer)

    def _hand_over(self, ticket: Ticket, answer: Answer) -> None:
        if not isinstance(answer.stream, Iterator):
            self._call_back(self._leave, ticket, answer)
            return
        stream = Stream(self._loop)
        self._call_back(self._leave, ticket, replace(answer, stream=stream))
        stream.feed(answer.stream, self._watch_call, lambda: bool(self._waiting))

    def _decode_step(self, ticket: Ticket) -> None:
        started = time.perf_counter()
        with self._watch_call(), tracing.span("input_fn", ticket.context.trace):
            ticket.data = self._handler.input_fn(ticket.body, ticket.context.content_type, ticket.context)
        ticket.body = b""
        ticket.is_decoded = True
        self._decode.record(time.perf_counter() - started)

    def _predict_step(self, ticket: Ticket) -> None:
        assert self._handler.predict_fn is not None
        ticket.stage = "predict_fn"
        started = time.perf_counter()
        with self._watch_call(), tracing.span("predict_fn", ticket.context.trace):
            ticket.prediction = self._handler.predict_fn(ticket.data, self._model, ticket.context)
        ticket.data = None
        self._predict.record(time.perf_counter() - started)

    def _encode_step(self, ticket: Ticket) -> Answer:
        context = ticket.context
        context.check()
        ticket.stage = "output_fn"
        started = time.perf_counter()
        with self._watch_call(), tracing.span("output_fn", context.trace):  # the first step of an iterator too
            result = self._handler.output_fn(ticket.prediction, context.accept, context)
            answer = from_handler(result, context, self._handler.author_of(ticket.stage))
        ticket.prediction = None
        self._encode.record(time.perf_counter() - started)
        return answer

    def _attempt(self, ticket: Ticket, step: Step) -> bool:
        """Whether the step went well; otherwise the ticket has left with its error."""
        try:
            ticket.context.check()
            step(ticket)
        except BaseException as error:  # noqa: BLE001  a user's code may raise anything
            self._fail(ticket, error)
            return False
        return True

    def _fail(self, ticket: Ticket, error: BaseException) -> None:
        ticket.body, ticket.data, ticket.prediction = b"", None, None
        function = self._handler.author_of(ticket.stage)
        try:
            reason = explain(error, ticket.context.request_id, function)
        except Exception:  # noqa: BLE001  an exception of a user's code may raise when it is looked at
            reason = HandlerError(f"{function} raised {type(error).__name__}, which cannot be shown.")
        self._call_back(self._leave, ticket, reason)


def _name_batch_stage(ticket: Ticket) -> None:
    ticket.stage = "predict_batch_fn"
