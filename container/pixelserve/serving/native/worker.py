"""A worker process: loads the model, then serves the connections that the supervisor hands it.

It talks with the supervisor over one SOCK_SEQPACKET socket, a message a packet; see `channel`. The handler is called on
the main thread, so that its signals and event loops work as in a program; HTTP is spoken there too, see `turns`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from pixelserve.errors import HandlerError, PixelserveError, State
from pixelserve.machine import cores
from pixelserve.observe import Metrics, configure, log_load_failure, tracing
from pixelserve.processes import STOP_SIGNALS
from pixelserve.serving import handler
from pixelserve.serving.contract import ModelApp
from pixelserve.serving.engine import Engine
from pixelserve.serving.handler import Handler
from pixelserve.serving.native import channel
from pixelserve.serving.native.board import Board
from pixelserve.serving.native.connection import Host
from pixelserve.serving.native.turns import Turns
from pixelserve.serving.pipelined import PipelinedEngine
from pixelserve.serving.serial import SerialEngine
from pixelserve.settings import Settings, settings

logger = logging.getLogger("pixelserve.worker")

EXIT_REQUESTS_LOST, EXIT_LOAD_FAILED, EXIT_STUCK, EXIT_FAILED = 1, 3, 4, 5


async def serve(link: socket.socket, board: Board, index: int, is_retry: bool, turns: Turns) -> int:
    """Runs until the supervisor says drain or goes away; returns the exit code.

    With `is_retry` a model that does not load is the supervisor's to log: its traceback is in the log already.
    """
    config = settings()
    loop = asyncio.get_running_loop()
    drain: asyncio.Future[None] = loop.create_future()

    def on_message() -> None:
        message = channel.receive(link)
        if message is None:
            os._exit(0)  # the supervisor is gone: nobody accepts for us any more
        elif message.kind == channel.CONNECTION and message.connection is None:
            channel.send(link, channel.MISSED, slot=message.slot)
        elif message.connection is not None:
            host.adopt(message.connection, message.slot)
        elif message.kind == channel.DRAIN and not drain.done():
            drain.set_result(None)

    loop.add_reader(link, on_message)
    started = time.monotonic()
    try:
        functions, model = await turns.result_of(partial(_load, config))
    except PixelserveError as error:
        if not is_retry:
            log_load_failure(error)
        channel.send(link, channel.FAILED, error.message, state=error.state or State.LOAD_FAILED)
        return EXIT_LOAD_FAILED
    logger.info("model loaded and warm in %.1f s", time.monotonic() - started)
    metrics = Metrics()
    engine = _start_engine(functions, model, config, metrics, turns)
    app = ModelApp(engine, config, metrics)
    host = Host(
        app,
        config,
        board,
        closed=lambda slot: channel.send(link, channel.CLOSED, slot=slot),
        returned=lambda slot: channel.send(link, channel.RETURNED, slot=slot),
    )
    board.beat(index)
    channel.send(link, channel.READY)
    watch = loop.create_task(_watch_handler(engine, config.timeout, partial(board.beat, index)))
    await drain
    watch.cancel()
    await host.drain(config.drain_seconds)
    app.flush_log()
    return EXIT_REQUESTS_LOST if host.state.connections else 0


def _load(config: Settings) -> tuple[Handler, Any]:
    """The handler that the settings name, and its model, warm. Raises a PixelserveError with the reason."""
    try:
        functions = handler.load(handler.locate(config))
        return functions, handler.load_model(functions, config)
    except PixelserveError:
        raise
    except Exception as error:  # noqa: BLE001  such as a folder that may not be read
        raise HandlerError(f"{type(error).__name__}: {error}") from None


def _start_engine(functions: Handler, model: Any, config: Settings, metrics: Metrics, turns: Turns) -> Engine:
    if not functions.is_pipelined:
        return SerialEngine(functions, model, config, metrics, turns)
    engine = PipelinedEngine(functions, model, config, metrics, config.codec_threads or min(8, cores()))
    turns.run(engine.run_device)  # for good
    return engine


async def _watch_handler(engine: Engine, timeout: float, beat: Callable[[], None]) -> None:
    """Ends the process when one call of the handler has run for three time-outs: it will not come back by itself.

    While a handler holds the interpreter's lock this does not run either; the supervisor then misses the beat.
    """
    while True:
        await asyncio.sleep(min(1.0, timeout))
        beat()
        if engine.busy_since is not None and time.monotonic() - engine.busy_since > 3 * timeout:
            logger.critical("the handler has not returned for %.0f s; this worker ends to be replaced", 3 * timeout)
            sys.stdout.flush()
            os._exit(EXIT_STUCK)


def main() -> None:
    """`python -m pixelserve.serving.native.worker LINK_FD BOARD_FD SLOTS WORKERS INDEX IS_RETRY`: the supervisor's."""
    link_fd, board_fd, slots, workers, index, is_retry = (int(argument) for argument in sys.argv[1:])
    configure(settings().log_level)
    tracing.configure()
    for number in STOP_SIGNALS:
        signal.signal(number, _stay)
    os.register_at_fork(after_in_child=_take_signals)
    link = socket.socket(fileno=link_fd)
    board = Board(board_fd, slots, workers)
    turns = Turns()
    try:
        turns.serve(_serve_and_exit(link, board, index, bool(is_retry), turns))
    except BaseException:
        logger.exception("the worker failed")
        _exit(EXIT_FAILED)


def _stay(_number: int, _frame: FrameType | None) -> None:
    """What a signal to end does here: it goes to the whole group, and the supervisor tells us when to end."""


def _take_signals() -> None:
    """In a process that a handler forks, signals end it again: that is how a pool ends its workers."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is _stay:
            signal.signal(number, signal.SIG_DFL)


async def _serve_and_exit(link: socket.socket, board: Board, index: int, is_retry: bool, turns: Turns) -> NoReturn:
    """Exits on the loop, whatever the main thread does: a handler's threads must not hold the process.

    What has not been answered by then is cut off, not cancelled.
    """
    _exit(await serve(link, board, index, is_retry, turns))


def _exit(code: int) -> NoReturn:
    tracing.flush()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
