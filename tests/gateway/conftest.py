"""The stores that jobs are kept in, each the same to its tests."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import gateway_dynamodb
import pytest

from pixelserve_gateway.jobs import DynamoDBStore, JobStore, SQLiteStore


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
