"""The back end `mms`: the same handlers under sagemaker-inference and multi-model-server.

What can be hardened from outside is: the handlers run through `mms.service` (own decoders, no pickle, no traceback in
an answer), answers may be as large as ours, workers get their share of the cores, a requirements.txt is left alone, the
management API is a socket of this container's own instead of part of the public port, logs go to standard output, and
the exit code tells whether the Java server ended by itself. What cannot be, docs/contract.md says.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile

from pixelserve.machine import gpus
from pixelserve.processes import ServerProcess, Stop, stop_all, worker_environment
from pixelserve.serving import handler
from pixelserve.settings import Settings, SettingsError

logger = logging.getLogger("pixelserve.mms")

LARGEST_ANSWER = (1 << 31) - 1
"""Bytes of an answer that the Java server accepts from a worker; 6.5 MB otherwise."""
HIGHEST_PORT = 32_767
_LOOK_SECONDS = 0.2


def run(config: Settings, stop: Stop) -> int:
    """Runs the Java server until it ends; 0 when that was asked for by a signal, else 1.

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
    location.wanted_requirements(config)  # says that they are there
    try:
        scratch = tempfile.TemporaryDirectory(prefix="pixelserve-mms-")
    except FileNotFoundError:
        raise SettingsError(
            "multi-model-server needs a writable /tmp that libraries can be loaded from: docker run --tmpfs /tmp:exec."
        ) from None
    with scratch as folder:
        toolkit = ServerProcess(
            "multi-model-server", _environment(config, folder), module="pixelserve.serving.mms.toolkit"
        )
        try:
            while not toolkit.has_ended and not stop.wait(_LOOK_SECONDS):
                pass
        finally:
            stop_all([toolkit], config.drain_seconds)
    if not stop.is_set:
        logger.error("the Java server ended by itself")
    return 0 if stop.is_set else 1


def _environment(config: Settings, folder: str) -> dict[str, str]:
    """The environment of the Java server and its workers. MMS_ variables override its own configuration."""
    workers = config.workers or max(1, config.gpus or gpus())
    return worker_environment(config.compute_threads, workers) | {
        "SAGEMAKER_BIND_TO_PORT": str(config.port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": str(workers),
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": str(math.ceil(config.timeout)),
        "MMS_INFERENCE_ADDRESS": f"http://{config.host}:{config.port}",
        "MMS_MANAGEMENT_ADDRESS": f"unix:{folder}/management.sock",
        "MMS_MAX_REQUEST_SIZE": str(config.max_body_bytes),
        "MMS_MAX_RESPONSE_SIZE": str(LARGEST_ANSWER),
        "MMS_JOB_QUEUE_SIZE": str(config.queue_length),
        "SAGEMAKER_STARTUP_TIMEOUT": os.environ.get("SAGEMAKER_STARTUP_TIMEOUT", "30"),  # for Java alone
        "TEMP": folder,
        "TMPDIR": folder,
    }
