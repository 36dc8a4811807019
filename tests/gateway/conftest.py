"""The stores that jobs are kept in; one local runtime with three features, a gateway before it, a site of pictures."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateway_dynamodb
import httpx
import pytest
from gateway_jobs import Gateway as JobsGateway
from gateway_jobs import Story
from gateway_servers import Gateway, Pictures, gateway_running, png, serving_pictures

from pixelserve.features import FEATURES
from pixelserve.local import AsyncPlaces, LocalRuntime, Source, running
from pixelserve.storage import Folder
from pixelserve_gateway.jobs import DynamoDBStore, JobStore, SQLiteStore


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
    sources = [Source.parse(feature.endpoint) for feature in FEATURES]
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for the endpoints that start, not for other tests of this process
            patch.setenv("PIXELSERVE_FETCH_ALLOW_PRIVATE", "true")
            local = stack.enter_context(running(sources, places=AsyncPlaces(Folder(invocations))))
        yield local


@pytest.fixture(scope="session")
def gateway(
    features_runtime: LocalRuntime, invocations: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    environment = {
        "PIXELSERVE_GATEWAY_STATE": str(tmp_path_factory.mktemp("state")),
        "PIXELSERVE_GATEWAY_RESULTS": str(invocations / "gateway"),
        "PIXELSERVE_GATEWAY_ASYNC_OUTPUTS": str(invocations),
        "PIXELSERVE_GATEWAY_WEBHOOK_ALLOW_PRIVATE": "true",
        "PIXELSERVE_GATEWAY_RUNTIME": features_runtime.url,
        "PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS": ",".join(f"{f.name}={f.endpoint}-async" for f in FEATURES),
    }
    with gateway_running(tmp_path_factory.mktemp("gateway"), environment) as running_gateway:
        yield running_gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    server = gateway_dynamodb.make()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobStore]:
    """An empty store."""
    made: SQLiteStore | DynamoDBStore
    if request.param == "sqlite":
        made = SQLiteStore(tmp_path / "state" / "jobs.sqlite")
    else:
        url = request.getfixturevalue("dynamodb_url")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        made = DynamoDBStore(f"jobs-{uuid.uuid4().hex}")
        made.create_table()
        made.create_table()  # once more is harmless
    yield made
    made.close()


@pytest.fixture
def play(store: JobStore, tmp_path: Path) -> Callable[..., None]:
    """Runs a story with a gateway of its own."""

    def run(story: Story, **options: Any) -> None:
        async def playing() -> None:
            gateway = JobsGateway(store, tmp_path / "results", **options)
            await story(gateway)
            gateway.threads.close()

        asyncio.run(playing())

    return run
