"""One local runtime with the three features, one gateway before it and one site of pictures, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gateway_servers import Gateway, Pictures, gateway_running, png, serving_pictures

from pixelserve.features import FEATURES
from pixelserve.local import AsyncPlaces, LocalRuntime, Source, running
from pixelserve.storage import Folder


@pytest.fixture(scope="session")
def pictures() -> Iterator[Pictures]:
    with serving_pictures({"/photo.png": png(48, 64), "/other.png": png(48, 64, seed=5)}) as site:
        yield site


@pytest.fixture(scope="session")
def invocations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of asynchronous inputs and outputs."""
    return tmp_path_factory.mktemp("invocations")


@pytest.fixture(scope="session")
def features_runtime(invocations: Path) -> Iterator[LocalRuntime]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELSERVE_FETCH_ALLOW_PRIVATE", "true")
        sources = [Source.parse(feature.endpoint) for feature in FEATURES]
        with running(sources, places=AsyncPlaces(Folder(invocations))) as local:
            yield local


@pytest.fixture(scope="session")
def gateway(features_runtime: LocalRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    environment = {
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS": ",".join(f"{f.name}={f.endpoint}-async" for f in FEATURES),
    }
    with gateway_running(tmp_path_factory.mktemp("gateway"), environment) as running_gateway:
        yield running_gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=60) as made:
        yield made
