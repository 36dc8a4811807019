"""Fixtures that several folders share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import ROOT, Server


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a file, and those of all files in fire/, in one process: they share servers and the cores."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            folder = item.path.parent.name
            item.add_marker(pytest.mark.xdist_group(folder if folder == "fire" else item.path.stem))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers: `serve(handler_source, NAME=value)`, as `Server` does; all are gone after the test."""
    servers: list[Server] = []

    def start(handler: str | None = None, **options: Any) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, handler, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real weights and test images (PIXELSERVE_ASSETS); the test is skipped where there is none."""
    folder = Path(os.environ.get("PIXELSERVE_ASSETS", ROOT.parent / "shared" / "assets"))
    if not folder.is_dir():
        pytest.skip("no test assets here: set PIXELSERVE_ASSETS to their folder")
    return folder
