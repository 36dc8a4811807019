"""Fixtures that several folders share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import ROOT, Server
from xdist.scheduler import LoadScopeScheduling


class Groups(LoadScopeScheduling):
    """Gives the tests of one group to one process, which runs them one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test: those that use the Docker Engine or Java, those in fire/, else those of its file.

        sagemaker-inference looks for Java servers on the whole machine, containers included: one at a time.
        """
        path = nodeid.partition("::")[0]
        folder, _, name = path.removeprefix("tests/").rpartition("/")
        if (
            path.endswith(("oracle/test_hosts.py", "oracle/test_stack.py"))
            or folder == "images"
            or name == "test_local_mode.py"
            or nodeid.endswith(("[image]", "[mms]", "::test_multi_model_server_serves_a_job"))
        ):
            return "engine"
        return folder if folder == "fire" else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """pytest-xdist's own groups are names in the ids of tests, which pytest no longer lets it change."""
    return Groups(config, log)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Gateways that a test starts keep nothing in the user's home, and weights that lie there are not found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELSERVE_GATEWAY_STATE", str(tmp_path_factory.mktemp("gateway-state")))
        patch.setenv("PIXELSERVE_WEIGHTS_DIR", str(tmp_path_factory.mktemp("weights")))
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what all processes of a run fetch once."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "fetched"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def selfie_segmentation(shared_folder: Path) -> Path:
    """A model folder with the published weights, fetched through pip from the package index."""
    from pixelserve.models import find_weights
    from pixelserve_deploy.download import fetch_weights

    return fetch_weights(find_weights("selfie-segmentation"), shared_folder)


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
    """The folder of real weights and test images (PIXELSERVE_ASSETS).

    The test is skipped where there is none, and fails where the variable names a folder that is not there.
    """
    folder = Path(os.environ.get("PIXELSERVE_ASSETS", ROOT.parent / "shared" / "assets"))
    if not folder.is_dir():
        if "PIXELSERVE_ASSETS" in os.environ:
            pytest.fail(f"PIXELSERVE_ASSETS is {folder}, where no folder is")
        pytest.skip("no test assets here: set PIXELSERVE_ASSETS to their folder")
    return folder
