"""SageMaker's own stack: sagemaker-inference's default handler service under multi-model-server."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Self

from oracle.case import Answer, Case, Failure, Request
from servers import free_port, wait_for

_START = """\
import sys
from sagemaker_inference import model_server
model_server.MMS_CONFIG_FILE = sys.argv[1]  # /etc is not for tests
model_server.start_model_server()
"""
INTERNAL_ERROR = 500
"""Of every exception that has no status of its own."""
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
"""Has the command multi-model-server."""
VERSIONS = {
    "sagemaker-inference": version("sagemaker-inference"),
    "multi-model-server": version("multi-model-server"),
    "python": f"{sys.version_info.major}.{sys.version_info.minor}",
    "numpy": version("numpy"),
}


def post(port: int, request: Request, path: str = "/invocations", seconds: float = 60) -> Answer:
    """The answer to the request, which has no other headers than its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in {**request.headers, "Content-Length": str(len(request.body))}.items():
            connection.putheader(name, value)
        connection.endheaders(request.body)
        response = connection.getresponse()
        return Answer.of(response.status, dict(response.getheaders()), response.read())


def without_traceback(answer: Answer) -> Answer:
    """The answer, its traceback cut down to what does not depend on the machine.

    The toolkit answers an exception with its message and traceback.
    """
    text = answer.body.decode(errors="replace")
    message, found, trace = text.partition("\nTraceback (most recent call last):\n")
    if not found:
        return answer
    last = trace[trace.rindex('  File "') :].splitlines()
    kind = next(line for line in last if not line.startswith(" ")).partition(":")[0]
    failure = Failure(kind, "/model/code/" in trace, message if answer.status != INTERNAL_ERROR else "")
    return replace(answer, body=b"", failure=failure)


def answers_ping(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False


class Stack:
    """The stack with one handler folder, as a SageMaker container starts it; ended on exit.

    The toolkit gives up when it sees a second multi-model-server on the machine for its start-up time (10 minutes).
    """

    def __init__(self, case: Case, folder: Path) -> None:
        case.write(folder / "model")
        scratch = folder / "tmp"
        scratch.mkdir()
        self._port = free_port()
        self._log = folder / "stack.log"
        environ = {
            **os.environ,
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_BASE_DIR": str(folder),
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            "SAGEMAKER_STARTUP_TIMEOUT": "600",  # for as long it bears other Java servers on the machine
            "TMPDIR": str(scratch),
            "TEMP": str(scratch),
            "PATH": PATH,
            **case.environ,
        }
        environ.pop("PYTHONPATH", None)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(folder / "mms.properties")],
                cwd=scratch,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            wait_for(lambda: answers_ping(self._port), 60, f"{self._log.read_text()}\n/ping of multi-model-server")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def ask(self, request: Request) -> Answer:
        return post(self._port, request)

    def log_text(self) -> str:
        return self._log.read_text()
