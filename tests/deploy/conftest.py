"""What several tests of deploying ask of cfn-lint and moto."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import botocore.session
import httpx
import pytest
from cfnlint.api import ManualArgs, lint
from cfnlint.core import get_rules
from cloud import taught_cloud

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 3_100_000_000}


@pytest.fixture(scope="session")
def judge() -> Callable[[str, str], list[Any]]:
    """cfn-lint's findings in a region, informational ones too. Its rules take long to load, so they load once."""
    rules = get_rules([], [], ["I", "W", "E"])
    return lambda text, region: lint(text, rules, config=ManualArgs(regions=[region], include_checks=["I"]))


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with taught_cloud() as url:
        yield url


@pytest.fixture(autouse=True, scope="module")
def _one_loader() -> Iterator[None]:
    """botocore reads the models of services once for all sessions."""
    loader = botocore.loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda path=None: loader)
        yield


@pytest.fixture
def region(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "us-east-2"))


@pytest.fixture
def aws(cloud: str, region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """Clients of an account with nothing in it but an image."""
    httpx.post(f"{cloud}/moto-api/reset", trust_env=False).raise_for_status()
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud)
    clients: dict[str, Any] = {}
    session = boto3.Session()

    def client(service: str) -> Any:
        return clients.setdefault(service, session.client(service))

    client("ecr").create_repository(repositoryName="pixelserve")
    for tag in ("1", "2"):
        layers = [{**LAYER, "digest": "sha256:" + tag * 64}]
        config = {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 9,
            "digest": "sha256:" + "c" * 64,
        }
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        client("ecr").put_image(repositoryName="pixelserve", imageManifest=json.dumps(manifest), imageTag=tag)
    return client
