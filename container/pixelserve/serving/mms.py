"""The back end `mms`: the same handlers under sagemaker-inference and multi-model-server.

What can be hardened from outside is: the handlers run through `mms_service` (own decoders, no pickle, no traceback in
an answer), answers may be as large as ours, workers get their share of the cores, a requirements.txt is left alone, the
management API is a socket of this container's own instead of part of the public port, logs go to standard output, and
the exit code tells whether the Java server ended by itself. What cannot be, the README's table says.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from pixelserve.errors import Unavailable
from pixelserve.machine import gpus, worker_environment
from pixelserve.serving import handler
from pixelserve.settings import Settings, SettingsError

logger = logging.getLogger("pixelserve.mms")

LARGEST_ANSWER = (1 << 31) - 1
"""Bytes of an answer that the Java server accepts from a worker; 6.5 MB otherwise."""
HIGHEST_PORT = 32_767
PR_SET_CHILD_SUBREAPER = 36
LOG_CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders><Console name="STDOUT" target="SYSTEM_OUT"><PatternLayout pattern="%m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="MMS_METRICS" level="off"/>
    <Logger name="ACCESS_LOG" level="off"/>
    <Root level="warn"><AppenderRef ref="STDOUT"/></Root>
    <Logger name="MODEL_LOG" level="info"/>
  </Loggers>
</Configuration>
"""


def run(config: Settings) -> int:
    """Runs the Java server until it ends; 0 when that was asked for by SIGTERM, else 1.

    Raises PixelserveError when it cannot be started: no Java, no package, no handler, or a setting it cannot honour.
    """
    if config.multi_model:
        raise SettingsError(
            "SAGEMAKER_MULTI_MODEL needs PIXELSERVE_BACKEND=native: multi-model-server would fetch models from any URL "
            "that a caller names."
        )
    if shutil.which("multi-model-server") is None or shutil.which("java") is None:
        raise SettingsError(
            "PIXELSERVE_BACKEND=mms needs Java 17 and pip install 'pixelserve[mms]': build the image with --mms."
        )
    if config.port > HIGHEST_PORT:
        raise SettingsError(f"SAGEMAKER_BIND_TO_PORT is {config.port}: multi-model-server takes up to {HIGHEST_PORT}.")
    location = handler.locate(config)
    logger.info("handler %s (%s)", location.file, location.origin)
    try:
        scratch = tempfile.TemporaryDirectory(prefix="pixelserve-mms-")
    except FileNotFoundError:
        raise SettingsError(
            "multi-model-server needs a writable /tmp that libraries can be loaded from: docker run --tmpfs /tmp:exec."
        ) from None
    with scratch as folder:
        _configure(config, Path(folder))
        return _serve(config, location, Path(folder))


def _configure(config: Settings, folder: Path) -> None:
    """The environment of the Java server and its workers. MMS_ variables override its own configuration."""
    workers = config.workers or max(1, config.gpus or gpus())
    os.environ |= worker_environment(config.compute_threads, workers) | {
        "SAGEMAKER_BIND_TO_PORT": str(config.port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": str(math.ceil(config.timeout)),
        "MMS_INFERENCE_ADDRESS": f"http://{config.host}:{config.port}",
        "MMS_MANAGEMENT_ADDRESS": f"unix:{folder}/management.sock",
        "MMS_MAX_REQUEST_SIZE": str(config.max_body_bytes),
        "MMS_MAX_RESPONSE_SIZE": str(LARGEST_ANSWER),
        "MMS_JOB_QUEUE_SIZE": str(config.queue_length),
        "SAGEMAKER_STARTUP_TIMEOUT": os.environ.get("SAGEMAKER_STARTUP_TIMEOUT", "30"),  # for Java alone
        "TEMP": str(folder),
        "TMPDIR": str(folder),
    }


def _serve(config: Settings, location: handler.Location, folder: Path) -> int:
    signal.signal(signal.SIGTERM, _end_while_starting)
    from sagemaker_inference import environment, model_server

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what loses its parent comes to this process

    logging.getLogger("sagemaker-inference").handlers.clear()  # ours writes its lines already
    log_config = folder / "log4j2.xml"
    log_config.write_text(LOG_CONFIG)
    model_dir = Path(config.model_dir)
    if not model_dir.is_dir():
        model_dir = folder
    requirements = location.wanted_requirements(config)
    environment.model_dir = str(model_dir)
    model_server.MMS_CONFIG_FILE = str(folder / "mms.properties")
    model_server.DEFAULT_MMS_LOG_FILE = str(log_config)
    model_server.REQUIREMENTS_PATH = str(requirements or "")
    asked = threading.Event()
    heard, signals = socket.socketpair()
    signals.setblocking(False)
    threading.Thread(target=_listen, args=(heard, asked), daemon=True).start()
    signal.set_wakeup_fd(signals.fileno())
    try:
        model_server.start_model_server("pixelserve.serving.mms_service")
    except Exception as error:  # the toolkit raises Exception itself
        raise Unavailable(f"multi-model-server did not start: {error}") from error
    finally:
        signal.set_wakeup_fd(-1)
        _end_descendants()
    asked.wait(0.1)  # what was signalled last may still be on its way to `_listen`
    if not asked.is_set():
        logger.error("the Java server ended by itself")
    return 0 if asked.is_set() else 1


def _end_descendants() -> None:
    """Kills what the Java server started and left behind: its workers do not end with it."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _listen(heard: socket.socket, asked: threading.Event) -> None:
    """Notes a SIGTERM among the signals that come, a byte each."""
    while signals := heard.recv(4096):
        if signal.SIGTERM in signals:
            asked.set()


def _end_while_starting(*_signal: Any) -> None:
    """What SIGTERM does until the toolkit has a handler of its own."""
    _end_descendants()
    os._exit(0)
