"""The conformance suite's targets: this server as a process, in the image, and multi-model-server in the image."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from cases import Target
from containers import Container, built, engine_or_skip
from servers import Server

OUTCOMES = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--contract-results", type=Path, help="write the outcome of each line of the contract here")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Notes how a line of the contract went for a target."""
    report = yield
    marker = item.get_closest_marker("contract")
    if marker is not None and (report.when == "call" or report.skipped):
        line, reason = marker.args
        target = item.callspec.params["target"]  # type: ignore[attr-defined]
        outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        note = item.config.stash[OUTCOMES].setdefault(line, {"reason": reason})
        if note.get(target) != "failed":
            note[target] = outcome
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--contract-results")
    if path is not None:
        outcomes = session.config.stash[OUTCOMES]
        rows = [{"line": line, **notes} for line, notes in outcomes.items()]
        path.write_text(json.dumps(rows, indent=1) + "\n")


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    with engine_or_skip() as client:
        yield client


@pytest.fixture(scope="session")
def image_of(client: docker.DockerClient) -> Callable[[str], str]:
    """Builds the image that a target needs, once."""
    tags: dict[bool, str] = {}

    def build_once(target: str) -> str:
        with_mms = target == "mms"
        if with_mms not in tags:
            tags[with_mms] = built(client, mms=with_mms)
        return tags[with_mms]

    return build_once


class Targets:
    """Starts servers of one target: `start(handler_source, NAME=value)`; all are gone after `close`."""

    def __init__(self, name: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.name = name
        self._folder = folder
        self._request = request
        self._running: list[Target] = []

    def __call__(
        self,
        handler: str | None = None,
        /,
        run: dict[str, Any] | None = None,
        files: dict[str, str] | None = None,
        **environ: str,
    ) -> Target:
        """`files` lie beside the handler; `run` holds options of `docker run`, which a process has none of."""
        folder = self._folder / f"server{len(self._running)}"
        folder.mkdir()
        code = {} if handler is None else {"inference.py": textwrap.dedent(handler)}
        self._running.append(self._start(code | (files or {}), folder, run or {}, environ))
        return self._running[-1]

    def _start(self, files: dict[str, str], folder: Path, run: dict[str, Any], environ: dict[str, str]) -> Target:
        if self.name == "native":
            return Server(folder, files=files, **environ)
        client: docker.DockerClient = self._request.getfixturevalue("client")
        tag = self._request.getfixturevalue("image_of")(self.name)
        backend = {"PIXELSERVE_BACKEND": "mms"} if self.name == "mms" else {}
        return Container(client, tag, folder, files, backend | environ, **run)

    def close(self) -> None:
        for server in self._running:
            server.close()


@pytest.fixture
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def start(target: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Targets]:
    servers = Targets(target, tmp_path, request)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def shared_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Target]]:
    """A server for each target and handler that stays up for all tests that only send requests."""
    running: dict[tuple[str, str], Target] = {}
    opened: list[Targets] = []

    def of(target: str, handler: str) -> Target:
        if (target, handler) not in running:
            opened.append(Targets(target, tmp_path_factory.mktemp(target), request))
            running[target, handler] = opened[-1](handler, PIXELSERVE_MAX_BODY_BYTES="25000000").ready()
        return running[target, handler]

    yield of
    for servers in opened:
        servers.close()
