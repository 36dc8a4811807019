"""Pushing to a real registry (Docker's own), with ECR's control plane as botocore describes it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import docker
import httpx
import pytest
from botocore.stub import Stubber
from containers import NEEDS_ENGINE
from moto import mock_aws
from servers import free_port, wait_for

from pixelserve_deploy import cli
from pixelserve_deploy.aws import Registry, RegistryError
from pixelserve_deploy.image import ImageError, check_deployable, push

pytestmark = NEEDS_ENGINE
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback: its address."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry (apt) is not here")
    folder = tmp_path_factory.mktemp("registry")
    address = f"127.0.0.1:{free_port()}"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/data\nhttp:\n  addr: {address}\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(address), what="the registry")
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def tag(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tiny image."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    client.images.build(path=str(folder), tag="pixelserve-tiny:1.0-abc", platform="linux/amd64")
    yield "pixelserve-tiny:1.0-abc"
    client.images.remove("pixelserve-tiny:1.0-abc", force=True)


def test_push_checks_the_manifest(client: docker.DockerClient, registry: str, tag: str) -> None:
    lines: list[str] = []
    assert push(client, tag, f"{registry}/tiny", {}, lines.append) == f"{registry}/tiny:1.0-abc"
    assert any("%" in line or "Pushed" in line for line in lines)
    assert "1.0-abc" in httpx.get(f"http://{registry}/v2/tiny/tags/list", trust_env=False).json()["tags"]


def test_an_oci_manifest_and_another_platform_are_refused(client: docker.DockerClient, registry: str, tag: str) -> None:
    push(client, tag, f"{registry}/other", {}, lambda line: None)
    url = f"http://{registry}/v2/other/manifests/"
    accept = {"accept": "application/vnd.docker.distribution.manifest.v2+json"}
    manifest = httpx.get(url + "1.0-abc", headers=accept, trust_env=False).json()
    manifest["mediaType"] = OCI
    manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    for layer in manifest["layers"]:
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
    put = httpx.put(url + "oci", content=json.dumps(manifest), headers={"content-type": OCI}, trust_env=False)
    assert put.status_code == 201
    with pytest.raises(ImageError, match=r"oci.image.manifest.*SageMaker refuses.*pixelserve build"):
        check_deployable(client, f"{registry}/other:oci", {})
    with pytest.raises(ImageError, match="has no"):
        check_deployable(client, f"{registry}/other:nowhere", {})


def test_a_tag_that_is_not_here(client: docker.DockerClient, registry: str) -> None:
    with pytest.raises(ImageError, match="There is no image nothing:1 here: pixelserve build"):
        push(client, "nothing:1", f"{registry}/x", {}, lambda line: None)


def test_a_registry_that_refuses(client: docker.DockerClient, tag: str) -> None:
    with pytest.raises(ImageError, match=r"Pushing 127\.0\.0\.1:1/x:1\.0-abc failed"):
        push(client, tag, "127.0.0.1:1/x", {}, lambda line: None)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ecr", region_name="us-east-2")


def test_the_repository_is_made_as_it_should_be(aws: Any) -> None:
    registry = Registry(aws)
    assert registry.find("team/model") is None
    uri = registry.create("team/model")
    assert registry.find("team/model") == uri
    made = aws.describe_repositories(repositoryNames=["team/model"])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert not registry.has("team/model", "1.0")
    assert set(registry.login()) == {"username", "password"}
    with pytest.raises(RegistryError, match="already exists"):
        registry.create("team/model")


def test_dry_run_says_what_would_be_done(aws: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["push", "tiny:1.0", "--region", "us-east-2", "--dry-run"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == (
        "Would push tiny:1.0 to a new repository tiny (scanned on push, immutable tags).\n"
    )
    assert aws.describe_repositories()["repositories"] == []


def test_the_command_logs_in_makes_pushes_and_is_idempotent(
    registry: str, tag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ECR's answers are stubs that botocore checks against its service model; the registry behind them is real."""
    ecr = boto3.client("ecr", region_name="us-east-2", aws_access_key_id="x", aws_secret_access_key="x")
    token = base64.b64encode(b"AWS:secret").decode()
    uri = f"{registry}/pixelserve-tiny"
    name = {"repositoryNames": ["pixelserve-tiny"]}
    found = {"repositories": [{"repositoryUri": uri}]}
    image = {"repositoryName": "pixelserve-tiny", "imageIds": [{"imageTag": "1.0-abc"}]}
    with Stubber(ecr) as stub:
        stub.add_client_error("describe_repositories", "RepositoryNotFoundException", expected_params=name)
        stub.add_response("create_repository", {"repository": {"repositoryUri": uri}})
        stub.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})
        stub.add_client_error("describe_images", "ImageNotFoundException", expected_params=image)
        stub.add_response("describe_repositories", found, name)
        stub.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})
        stub.add_response("describe_images", {"imageDetails": []}, image)
        monkeypatch.setattr(boto3.Session, "client", lambda self, service, **options: ecr)
        assert cli.main(["push", tag, "--region", "us-east-2"]) == 0
        assert capsys.readouterr().out == f"{uri}:1.0-abc\n"
        assert cli.main(["push", tag, "--region", "us-east-2", "--json"]) == 0
        said = capsys.readouterr()
        stub.assert_no_pending_responses()
    assert json.loads(said.out) == {"image": f"{uri}:1.0-abc"}
    assert "is there already" in said.err


@pytest.mark.parametrize("tag", ["tiny", ":1", "host:5000/tiny"])
def test_a_tag_without_a_version(tag: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["push", tag])


def test_no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert cli.main(["push", "tiny:1"]) == 1
    assert "Give --region and --profile" in capsys.readouterr().err
