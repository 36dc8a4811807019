"""Servers that stay up for all tests that only send them requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from handlers import BUSY, ECHO
from servers import Server


def _running(folder: Path, handler: str) -> Iterator[Server]:
    server = Server(folder, handler)
    yield server.ready()
    server.close()


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(tmp_path_factory.mktemp("echo"), ECHO)


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(tmp_path_factory.mktemp("busy"), BUSY)
