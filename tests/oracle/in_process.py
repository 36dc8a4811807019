"""The hosts without a server of ours, `direct` and Lambda, each handler in a process of its own.

`python -m oracle.in_process` reads an order as a line of JSON and writes its answers as a line: the process has imported
what all need and forks for each order, which then has a fresh interpreter's state, its main thread, and no model yet.
"""

from __future__ import annotations

import base64
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
        self._process = subprocess.Popen(
            [sys.executable, "-m", "oracle.in_process"],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self._folder / "in_process.log").open("w"),
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
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        return [Answer.of(status, headers, base64.b64decode(body)) for status, headers, body in answers]


def _by_direct(request: Request) -> tuple[int, dict[str, str], bytes]:
    from pixelserve import PixelserveError
    from pixelserve.serving.answers import json_answer
    from pixelserve.serving.aws_lambda import load
    from pixelserve.serving.context import Context

    headers = {name.lower(): value for name, value in request.headers.items()}
    context = Context.from_headers(headers, "oracle", SECONDS)
    try:
        answer, status = load().answer(request.body, context), 200
    except PixelserveError as error:
        answer, status = json_answer(error.body("oracle")), error.status
    named = {"content-type": answer.media_type, "x-amzn-sagemaker-custom-attributes": answer.attributes}
    return status, {name: value for name, value in named.items() if value}, b"".join(answer.parts)


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
        writer.write(json.dumps(_answer(order)))


def _read(result: int, seconds: float) -> str:
    """What the forked process writes until it closes its end; an empty list when that takes too long."""
    text = b""
    while True:
        if not select.select([result], [], [], seconds)[0]:
            return "[]"
        piece = os.read(result, 1 << 16)
        if not piece:
            return text.decode() or "[]"
        text += piece


def main() -> None:
    import numpy  # noqa: F401

    import pixelserve.serving.aws_lambda
    import pixelserve.serving.direct  # noqa: F401

    for line in sys.stdin:
        result, end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(result)
            os.setpgid(0, 0)
            try:
                _work(json.loads(line), end)
            finally:
                sys.stderr.flush()
                os._exit(0)
        os.close(end)
        print(_read(result, SECONDS), flush=True)
        os.close(result)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
