"""The hosts without a server of ours, `direct` and Lambda, each handler in a process of its own.

`python -m oracle.in_process` reads an order as a line of JSON and writes its answers as a line. It has imported what
all need, and forks for each order: a process with its main thread and no model yet.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from oracle.case import Answer, Case, Request

SECONDS = 20


class InProcess:
    """The process, started on entering; ended on exit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        path = os.pathsep.join(str(Path(__file__).parents[above] / name) for above, name in ((1, ""), (2, "container")))
        with (self._folder / "in_process.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "oracle.in_process"],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(self, *_raised: object) -> None:
        self._process.communicate()

    def ask(self, host: str, case: Case, model_dir: Path) -> list[Answer]:
        """The host's answers (`direct` or `lambda`) to the requests of a handler that lies in `model_dir`."""
        requests = [
            {"body": base64.b64encode(request.body).decode(), "headers": request.headers} for request in case.requests
        ]
        environ = {"SM_MODEL_DIR": str(model_dir), **case.environ}
        order = {"host": host, "environ": environ, "requests": requests}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        return [Answer.of(status, headers, base64.b64decode(body)) for status, headers, body in answers]


def _by_direct(request: Request) -> tuple[int, dict[str, str], bytes]:
    from pixelserve import PixelserveError
    from pixelserve.serving.answers import json_answer
    from pixelserve.serving.aws_lambda import load
    from pixelserve.serving.context import Context
    from pixelserve.wire import ATTRIBUTES

    headers = {name.lower(): value for name, value in request.headers.items()}
    context = Context.from_headers(headers, "oracle", SECONDS)
    try:
        answer = load().answer(request.body, context)
    except PixelserveError as error:
        answer = dataclasses.replace(json_answer(error.body("oracle")), status=error.status)
    named = {**dict(answer.headers), "content-type": answer.media_type, ATTRIBUTES: answer.attributes}
    return answer.status, {name: value for name, value in named.items() if value}, b"".join(answer.parts)


class _LambdaContext:
    aws_request_id = "oracle"

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


def _by_lambda(request: Request) -> tuple[int, dict[str, str], bytes]:
    from pixelserve.serving.aws_lambda import handler

    event = {
        "requestContext": {"http": {"method": "POST"}},
        "rawPath": "/invocations",
        "headers": request.headers,
        "body": base64.b64encode(request.body).decode(),
        "isBase64Encoded": True,
    }
    answer = handler(event, _LambdaContext())
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return answer["statusCode"], answer["headers"], body


def _answer(order: dict[str, Any]) -> list[Any]:
    os.environ.update(order["environ"])
    ask = {"direct": _by_direct, "lambda": _by_lambda}[order["host"]]
    answers = []
    for sent in order["requests"]:
        headers = sent["headers"]
        request = Request(
            base64.b64decode(sent["body"]),
            headers.get("Content-Type"),
            headers.get("Accept"),
            headers.get("X-Amzn-SageMaker-Custom-Attributes", ""),
        )
        status, named, body = ask(request)
        answers.append([status, named, base64.b64encode(body).decode()])
    return answers


def _work(order: dict[str, Any], result: int) -> None:
    """In the forked process: what the handler prints goes to the log."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    with os.fdopen(result, "w") as writer:
        writer.write(json.dumps(_answer(order)) + "\n")


def _read(result: int) -> str:
    """The line that the forked process writes; an empty list when that ends without, or takes too long.

    The end of what is written would come late: processes of the handler's own hold the pipe, too.
    """
    text = b""
    while not text.endswith(b"\n"):
        piece = os.read(result, 1 << 16) if select.select([result], [], [], SECONDS)[0] else b""
        if not piece:
            return "[]"
        text += piece
    return text.decode().strip()


def main() -> None:
    import numpy  # noqa: F401

    import pixelserve.serving.aws_lambda
    import pixelserve.serving.direct  # noqa: F401

    for line in sys.stdin:
        result, end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(result)
            try:
                _work(json.loads(line), end)
            finally:
                sys.stderr.flush()
                os._exit(0)
        os.setpgid(pid, pid)
        os.close(end)
        sys.stdout.write(_read(result) + "\n")
        sys.stdout.flush()
        os.close(result)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
