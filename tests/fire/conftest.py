"""Servers that stay up for all tests that only send them requests."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fire_hosts import HOSTS, Host, Note
from handlers import BUSY, ECHO
from servers import Server

FIGURES = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fire-results", type=Path, help="write the figures of the tests under fire here")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--fire-results")
    if path is not None:
        rows = (json.dumps(row) for row in session.config.stash[FIGURES])
        path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Prints figures, and keeps them for `--fire-results`."""

    def keep(table: str, **figures: Any) -> None:
        rounded = {name: round(value, 1) if isinstance(value, float) else value for name, value in figures.items()}
        sys.stdout.write(f"{table}: {', '.join(f'{name} {value}' for name, value in rounded.items())}\n")
        request.config.stash[FIGURES].append({"table": table, **rounded})

    return keep


def _running(folder: Path, handler: str) -> Iterator[Server]:
    server = Server(folder, handler)
    yield server.ready()
    server.close()


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One of HOSTS, by the test's parameter; it has answered everybody when its tests are over."""
    with HOSTS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running
        assert running.get().status_code == running.healthy


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(tmp_path_factory.mktemp("echo"), ECHO)


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(tmp_path_factory.mktemp("busy"), BUSY)
