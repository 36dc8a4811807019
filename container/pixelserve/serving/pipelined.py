"""Stages beside each other: decode threads -> batch -> device thread -> encode threads.

So the device does not wait for codecs, and a request that waits for a network (a URL to fetch) leaves its place among
the decoders to others. A handler that has shown to take less than the thread switches around it would cost runs on the
device thread all the same. A batch is what has gathered while the device was busy: no request waits for others to come.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from pixelserve.net import WAITING
from pixelserve.observe import Metrics
from pixelserve.serving.engine import Engine
from pixelserve.serving.handler import Handler
from pixelserve.serving.tickets import Ticket
from pixelserve.settings import Settings

LIGHT_SECONDS = 0.0005
"""A handler whose stages take less than this together is light; the hand-overs it is spared take about as long."""


class PipelinedEngine(Engine):
    """Its `run_device` is the device thread's, for good."""

    def __init__(self, handler: Handler, model: Any, settings: Settings, metrics: Metrics, codec_threads: int) -> None:
        super().__init__(handler, model, settings, metrics)
        self._decoders = ThreadPoolExecutor(settings.queue_length, "decode")
        self._decoding = threading.BoundedSemaphore(codec_threads)
        self._encoders = ThreadPoolExecutor(codec_threads, "encode")
        self._device_queue: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self._is_batched = handler.predict_batch_fn is not None
        self._window = 2 * codec_threads + 1 + (settings.batch_size if self._is_batched else 0)
        self._fetching = 0

    def _admit(self) -> None:
        """Lets waiting requests in while few enough are decoded ahead of the device (they hold whole images)."""
        while self._waiting and len(self._in_work) - self._fetching < self._window:
            ticket = self._waiting.popleft()
            if not ticket.future.done():
                self._in_work.add(ticket)
                ticket.queued = time.perf_counter()
                if self._is_light:
                    self._device_queue.put(ticket)
                else:
                    self._decoders.submit(self._decode_and_enqueue, ticket)

    @property
    def _is_light(self) -> bool:
        """Whether a request goes to the device thread undecoded."""
        if self._predict.seconds is None or self._is_batched:
            return False
        return (self._decode.seconds or 0) + self._predict.seconds + (self._encode.seconds or 0) < LIGHT_SECONDS

    def _call_back(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _count_fetching(self, change: int) -> None:
        self._fetching += change
        self._admit()

    # From here on: the device thread and the codec threads.

    def run_device(self) -> None:
        """Makes all calls of the handler that are not a codec's, for ever, on the thread that loaded the model."""
        while True:
            batch = [self._device_queue.get()]
            if self._is_batched:
                self._gather(batch)
            for ticket in batch:
                self._note_wait(ticket)
            encode = self._encode_aside if batch[0].is_decoded else self._encode_and_leave
            for ticket in self._predict_batch([ticket for ticket in batch if self._decode_if_needed(ticket)]):
                encode(ticket)

    def _gather(self, batch: list[Ticket]) -> None:
        while len(batch) < self._settings.batch_size:
            try:
                batch.append(self._device_queue.get_nowait())
            except queue.Empty:
                return

    def _encode_aside(self, ticket: Ticket) -> None:
        self._encoders.submit(self._encode_and_leave, ticket)

    def _decode_and_enqueue(self, ticket: Ticket) -> None:
        WAITING.set(partial(self._lend_place, ticket))  # of this thread alone
        with self._decoding:
            decoded = self._attempt(ticket, self._decode_step)
        if decoded:
            ticket.queued = time.perf_counter()
            self._device_queue.put(ticket)

    @contextlib.contextmanager
    def _lend_place(self, ticket: Ticket) -> Iterator[Callable[[], None]]:
        """Entered by a decode thread while it waits for a network: another may decode meanwhile."""
        self._decoding.release()
        self._loop.call_soon_threadsafe(self._count_fetching, 1)
        try:
            yield ticket.context.check
        finally:
            self._loop.call_soon_threadsafe(self._count_fetching, -1)
            self._decoding.acquire()
