"""The way of a request through a handler.

One device thread, in a worker the process's main thread, owns the model: it loads it and makes every call of
predict_fn, so a network's own threads stay one team. By default it makes all calls of the handler, for one request
after another, as a handler expects that keeps a request in a global, a connection of sqlite or an event loop.

A handler that says so is pipelined: decode threads -> batch -> device thread -> encode threads, so that the device does
not wait for codecs; a request that waits for a network (a URL to fetch) leaves its place among the decoders to others.
One that has shown to take less than the thread switches around it would cost runs on the device thread all the same.

A batch is what has gathered while the device was busy: no request waits for others to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from pixelserve.errors import DeadlineExceeded, HandlerError, PixelserveError, QueueFull
from pixelserve.net import WAITING
from pixelserve.observe import Metrics
from pixelserve.serving.answers import Answer, explain, from_handler
from pixelserve.serving.context import Context
from pixelserve.serving.handler import Handler, load_model
from pixelserve.serving.streams import Stream
from pixelserve.serving.tickets import Stage, Ticket, group_by_shape
from pixelserve.settings import Settings

SERIAL_WINDOW = 2
"""Requests of a serial handler that are in work or next."""
LIGHT_SECONDS = 0.0005
"""A handler whose stages take less than this together is light; the hand-overs it is spared take about as long."""

Step = Callable[[Ticket], None]


class Engine:
    """Runs one handler. Its public methods are called on the event loop, the handler's functions on other threads."""

    def __init__(self, settings: Settings, metrics: Metrics, codec_threads: int) -> None:
        self._settings = settings
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._decoders = ThreadPoolExecutor(settings.queue_length, "decode")
        self._decoding = threading.BoundedSemaphore(codec_threads)
        self._encoders = ThreadPoolExecutor(codec_threads, "encode")
        self._decode, self._predict, self._encode = (Stage(metrics.stage(s)) for s in ("decode", "predict", "encode"))
        self._waiting: deque[Ticket] = deque()
        self._device_queue: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self._window = 2 * codec_threads + 1
        self._active = self._fetching = 0
        self._loaded: asyncio.Future[None] = self._loop.create_future()
        self._handler: Handler
        self._model: Any = None
        self._begun: dict[int, float] = {}

    async def wait_until_loaded(self) -> None:
        """Returns when `run_device` has a warm model. Raises HandlerError or OutOfMemory with the reason."""
        await self._loaded
        if not self._handler.is_pipelined:
            self._window = SERIAL_WINDOW
        if self._handler.predict_batch_fn is not None:
            self._window += self._settings.batch_size

    @property
    def takes_empty_body(self) -> bool:
        """Whether an empty body may mean something to the handler."""
        return self._handler.takes_empty_body

    @property
    def held(self) -> int:
        """Requests that wait or are being worked on."""
        return len(self._waiting) + self._active

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
        ticket = Ticket(body, context, self._loop.create_future())
        timer = self._loop.call_later(context.seconds_left(), self._expire, ticket)
        self._waiting.append(ticket)
        self._admit()
        self._metrics.held(self.held)
        ticket.future.add_done_callback(lambda _: self._forget(ticket, timer))
        return ticket

    def _forget(self, ticket: Ticket, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        if ticket in self._waiting:
            self._waiting.remove(ticket)

    @property
    def _goes_straight(self) -> bool:
        """Whether a request goes to the device thread undecoded."""
        if not self._handler.is_pipelined:
            return True
        if self._predict.seconds is None or self._handler.predict_batch_fn is not None:
            return False
        return (self._decode.seconds or 0) + self._predict.seconds + (self._encode.seconds or 0) < LIGHT_SECONDS

    def _expire(self, ticket: Ticket) -> None:
        if not ticket.future.done():
            ticket.future.set_exception(
                DeadlineExceeded(
                    f"No answer within {self._settings.timeout:g} s. Send a smaller image, try again under less "
                    "load, or use an asynchronous endpoint.",
                    retry_after=1,
                )
            )

    def _admit(self) -> None:
        """Lets waiting requests in while few enough are decoded ahead of the device (they hold whole images)."""
        while self._waiting and self._active - self._fetching < self._window:
            ticket = self._waiting.popleft()
            if not ticket.future.done():
                self._active += 1
                ticket.queued = time.perf_counter()
                if self._goes_straight:
                    self._device_queue.put(ticket)
                else:
                    self._decoders.submit(self._decode_and_enqueue, ticket)

    def _count_fetching(self, change: int) -> None:
        self._fetching += change
        self._admit()

    def _leave(self, ticket: Ticket, answer: Answer | PixelserveError) -> None:
        self._active -= 1
        if ticket.future.done():
            if isinstance(answer, Answer) and isinstance(answer.stream, Stream):
                answer.stream.cancel()
        else:
            if isinstance(answer, Answer):
                ticket.future.set_result(answer)
            else:
                ticket.future.set_exception(answer)
        self._admit()
        self._metrics.held(self.held)

    # From here on: the device thread and the codec threads.

    def run_device(self, load: Callable[[], Handler]) -> None:
        """Loads the handler and its model, warms it up, and makes all calls of it that are not a codec's, for ever.

        The thread that calls this is the device thread. It returns only when the model did not load.
        """
        try:
            self._handler = load()
            self._model = load_model(self._handler, self._settings.model_folder())
        except Exception as error:  # noqa: BLE001  such as a folder that may not be read
            failure = error if isinstance(error, PixelserveError) else HandlerError(f"{type(error).__name__}: {error}")
            self._loop.call_soon_threadsafe(self._loaded.set_exception, failure)
            return
        self._loop.call_soon_threadsafe(self._loaded.set_result, None)
        while True:
            batch = [self._device_queue.get()]
            if self._handler.predict_batch_fn is not None:
                self._gather(batch)
            for ticket in batch:
                self._metrics.queue_seconds(time.perf_counter() - ticket.queued)
            encode = self._encode_aside if batch[0].is_decoded else self._encode_and_leave
            for ticket in self._predict_batch([ticket for ticket in batch if self._decode_if_needed(ticket)]):
                encode(ticket)

    def _gather(self, batch: list[Ticket]) -> None:
        while len(batch) < self._settings.batch_size:
            try:
                batch.append(self._device_queue.get_nowait())
            except queue.Empty:
                return

    def _decode_if_needed(self, ticket: Ticket) -> bool:
        """Whether the ticket has its data; otherwise it has left with its error."""
        return ticket.is_decoded or self._attempt(ticket, self._decode_step)

    def _encode_aside(self, ticket: Ticket) -> None:
        self._encoders.submit(self._encode_and_leave, ticket)

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
        self._predict.record((time.perf_counter() - started) / len(group))
        self._metrics.batch_size(len(group))
        for ticket, result in zip(group, results, strict=True):
            if isinstance(result, BaseException):
                self._fail(ticket, result)
            else:
                ticket.data, ticket.prediction = None, result
        return [ticket for ticket, result in zip(group, results, strict=True) if not isinstance(result, BaseException)]

    def _decode_and_enqueue(self, ticket: Ticket) -> None:
        WAITING.set(self._lend_place)  # of this thread alone
        with self._decoding:
            decoded = self._attempt(ticket, self._decode_step)
        if decoded:
            ticket.queued = time.perf_counter()
            self._device_queue.put(ticket)

    @contextlib.contextmanager
    def _lend_place(self) -> Iterator[None]:
        """Entered by a decode thread while it waits for a network: another may decode meanwhile."""
        self._decoding.release()
        self._loop.call_soon_threadsafe(self._count_fetching, 1)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._count_fetching, -1)
            self._decoding.acquire()

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
            self._loop.call_soon_threadsafe(self._leave, ticket, answer)
            return
        stream = Stream(self._loop)
        self._loop.call_soon_threadsafe(self._leave, ticket, replace(answer, stream=stream))
        stream.feed(answer.stream, self._watch_call)

    def _decode_step(self, ticket: Ticket) -> None:
        started = time.perf_counter()
        with self._watch_call():
            ticket.data = self._handler.input_fn(ticket.body, ticket.context.content_type, ticket.context)
        ticket.body = b""
        ticket.is_decoded = True
        self._decode.record(time.perf_counter() - started)

    def _predict_step(self, ticket: Ticket) -> None:
        assert self._handler.predict_fn is not None
        ticket.stage = "predict_fn"
        started = time.perf_counter()
        with self._watch_call():
            ticket.prediction = self._handler.predict_fn(ticket.data, self._model, ticket.context)
        ticket.data = None
        self._predict.record(time.perf_counter() - started)

    def _encode_step(self, ticket: Ticket) -> Answer:
        context = ticket.context
        context.check()
        ticket.stage = "output_fn"
        started = time.perf_counter()
        with self._watch_call():  # the first step of an iterator too
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
        reason = explain(error, ticket.context.request_id, self._handler.author_of(ticket.stage))
        self._loop.call_soon_threadsafe(self._leave, ticket, reason)


def _name_batch_stage(ticket: Ticket) -> None:
    ticket.stage = "predict_batch_fn"
