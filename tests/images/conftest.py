from __future__ import annotations

import docker
import pytest
from containers import engine_or_skip


@pytest.fixture(scope="session")
def client() -> docker.DockerClient:
    return engine_or_skip()
