"""Fixtures that several folders share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import ROOT, Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers: `serve(handler_source, NAME=value)`; all are gone after the test."""
    servers: list[Server] = []

    def start(handler: str | None = None, **environ: str) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, handler, **environ))
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
