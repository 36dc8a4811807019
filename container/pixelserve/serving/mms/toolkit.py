"""The process that lets sagemaker-inference start the Java server, and stays until that ends.

`server` starts it, with its scratch folder as TMPDIR.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from pathlib import Path
from typing import Any

from pixelserve.observe import configure
from pixelserve.serving import handler
from pixelserve.settings import settings

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


def main() -> int:
    """Ends with the Java server; 1 when it did not start."""
    config = settings()
    configure(config.log_level)
    from sagemaker_inference import environment, model_server

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what loses its parent comes to this process
    logging.getLogger("sagemaker-inference").handlers.clear()  # ours writes its lines already
    scratch = Path(os.environ["TMPDIR"])
    log_config = scratch / "log4j2.xml"
    log_config.write_text(LOG_CONFIG)
    requirements = handler.locate(config).requirements if config.install_requirements else None
    environment.model_dir = config.model_dir if Path(config.model_dir).is_dir() else str(scratch)
    model_server.MMS_CONFIG_FILE = str(scratch / "mms.properties")
    model_server.DEFAULT_MMS_LOG_FILE = str(log_config)
    model_server.REQUIREMENTS_PATH = str(requirements or "")
    model_server._retrieve_mms_server_process = _find_java_server
    try:
        model_server.start_model_server("pixelserve.serving.mms.service")
    except Exception as error:  # noqa: BLE001  the toolkit raises Exception itself
        sys.stderr.write(f"serve: multi-model-server did not start: {error}\n")
        return 1
    return 0


def _find_java_server() -> Any:
    """The Java server, as a psutil.Process. Raises Exception, as the toolkit does, while it is not there.

    The toolkit's own function looks at all processes of the machine, and gives up where another server runs.
    """
    import psutil
    from sagemaker_inference.model_server import MMS_NAMESPACE

    for process in psutil.Process().children(recursive=True):
        if process.status() != psutil.STATUS_ZOMBIE and MMS_NAMESPACE in process.cmdline():
            return process
    raise Exception("the Java server is not running")


if __name__ == "__main__":
    sys.exit(main())
