"""Our hosts of a handler: each answers the requests of a case, with the handler folder as SageMaker lays it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import httpx
from handlers import ECHO
from oracle.case import Answer, Case
from oracle.mms_service import ENVIRON
from oracle.stack import PATH, post
from servers import Server, wait_for

NEVER_READY = "load_failed"
MMS = {"PIXELSERVE_BACKEND": "mms", "SAGEMAKER_STARTUP_TIMEOUT": "600", "PATH": PATH}
"""Environment of our back end. Within its start-up time the toolkit bears a second Java server on the machine."""


def _ask_server(case: Case, folder: Path, **environ: str) -> list[Answer]:
    """The answers over HTTP of a server that is started for them."""
    case.write(folder / "model")
    given = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "20"}
    server = Server(folder, **given, **environ, **case.environ)
    try:
        wait_for(lambda: _has_tried(server), 60, "the model loaded or failed")
        return [post(server.port, request) for request in case.requests]
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.log_text()}") from None
    finally:
        server.close()


def _has_tried(server: Server) -> bool:
    """Whether the model is loaded, or will not be."""
    answer = server.ping()
    if not server.runs() or answer is None:
        return not server.runs()
    return answer.status_code == 200 or answer.json()["error"].get("state") == NEVER_READY


def native(case: Case, folder: Path) -> list[Answer]:
    """Our own server."""
    return _ask_server(case, folder)


def mms(case: Case, folder: Path) -> list[Answer]:
    """The back end `mms`, with a Java server of its own."""
    return _ask_server(case, folder, **MMS)


class SharedMms:
    """The back end `mms` with a worker for each handler that is asked, under one Java server; ended on exit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        Case("a server with a model", ECHO, ()).write(self._folder / "model")
        self._server = Server(
            self._folder,
            **MMS,
            SAGEMAKER_MODEL_SERVER_WORKERS="1",
            PYTHONPATH=str(Path(__file__).parents[1]),
            TMPDIR=str(self._folder),
        ).ready()
        (socket,) = self._folder.glob("pixelserve-mms-*/management.sock")
        self._management = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://mms", timeout=60
        )
        return self

    def __exit__(self, *_raised: object) -> None:
        self._management.close()
        self._server.close()

    def ask(self, case: Case, folder: Path) -> list[Answer]:
        case.write(folder / "model")
        (folder / ENVIRON).write_text(json.dumps(case.environ))
        given = {"url": str(folder / "model"), "handler": "oracle.mms_service", "initial_workers": 1}
        name = folder.name
        answer = self._management.post("/models", params={"model_name": name, "synchronous": True, **given})
        assert answer.is_success, answer.text
        try:
            return [post(self._server.port, request, f"/models/{name}/invoke") for request in case.requests]
        finally:
            self._management.delete(f"/models/{name}")
