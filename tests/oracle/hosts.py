"""Our hosts of a handler: each answers the requests of a case, with the handler folder as SageMaker lays it out."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path

import httpx
from oracle.case import Answer, Case, Request
from oracle.stack import post
from servers import Server, wait_for

NEVER_READY = "load_failed"


def _ask_server(case: Case, folder: Path, **environ: str) -> list[Answer]:
    """The answers of a server process of its own, over HTTP."""
    case.write(folder / "model")
    given = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "20"}
    server = Server(folder, **given, **environ, **case.environ)
    try:
        wait_for(lambda: _has_tried(server), 60, "the model loaded or failed")
        return [_post(server, request) for request in case.requests]
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.log_text()}") from None
    finally:
        server.process.kill()
        server.close()


def _has_tried(server: Server) -> bool:
    """Whether the model is loaded, or will not be."""
    answer = server.ping()
    if not server.runs() or answer is None:
        return not server.runs()
    return answer.status_code == 200 or answer.json()["error"].get("state") == NEVER_READY


def _post(server: Server, request: Request) -> Answer:
    return post(server.port, request)


def native(case: Case, folder: Path) -> list[Answer]:
    return _ask_server(case, folder)


def mms(case: Case, folder: Path) -> list[Answer]:
    """The toolkit's start-up time is ten minutes, as on SageMaker: until then it bears another Java server."""
    return _ask_server(case, folder, PIXELSERVE_BACKEND="mms", SAGEMAKER_STARTUP_TIMEOUT="600")
