"""What an image in ECR says of its CUDA: manifests by scripted answers, configurations over real HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scripted import ACCOUNT, REGION, Scripted
from servers import ROOT

from pixelserve_deploy import cli
from pixelserve_deploy.deployment.image_config import OWN_CUDA

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pixelserve:1"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which its files are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def doctor(script: Scripted, blobs: tuple[Path, str], config: Any, *options: str) -> int:
    """`doctor` on an image with the configuration; None: its blob is not there."""
    folder, address = blobs
    body = json.dumps(config).encode()
    digest = hashlib.sha256(body).hexdigest()
    if config is not None:
        (folder / digest).write_bytes(body)
    manifest = {"mediaType": MANIFEST, "config": {"digest": f"sha256:{digest}"}, "layers": [{"size": 9}]}
    image = {
        "imageId": {"imageDigest": "sha256:" + "a" * 64},
        "imageManifest": json.dumps(manifest),
        "imageManifestMediaType": MANIFEST,
    }
    script.answer("sts", "GetCallerIdentity", {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/me"})
    script.answer("ecr", "BatchGetImage", {"images": [image]})
    layer = {"downloadUrl": f"{address}/{digest}", "layerDigest": f"sha256:{digest}"}
    script.answer("ecr", "GetDownloadUrlForLayer", layer)
    quota = {"QuotaName": "ml.g4dn.xlarge for endpoint usage", "Value": 4.0}
    script.answer("service-quotas", "ListServiceQuotas", {"Quotas": [quota]})
    return cli.main(["doctor", "up", "--region", REGION, "--image", IMAGE, *options])


@pytest.mark.parametrize(
    ("config", "options", "code", "told"),
    [
        ({"config": {"Labels": {"pixelserve.device": "cuda"}}}, (), 0, f"CUDA {OWN_CUDA}."),
        ({"config": {"Env": ["PATH=/bin", "CUDA_VERSION=12.4.1"]}}, (), 0, "CUDA 12.4.1."),
        (
            {"config": {"Env": ["CUDA_VERSION=13.0.2"]}},
            ("--ami", "al2-ami-sagemaker-inference-gpu-3-1"),
            3,
            "is for CUDA 12 (driver 550), and the image has CUDA 13.0.2. Write al2023-ami-sagemaker-inference-gpu-4-1",
        ),
        ({"config": {"Env": ["CUDA_VERSION=11.8.0"]}}, (), 3, "No machine image of SageMaker's is for CUDA 11.8.0."),
        ({"config": {"Labels": {"pixelserve.device": "cpu"}}}, (), 3, "for CPUs."),
        ({"config": {"Labels": {"pixelserve.device": "cpu"}}}, ("--instances", "ml.c6i.xlarge"), 0, "for CPUs."),
        ({"config": {}}, (), 0, "GB compressed."),
        ({"config": None}, (), 0, "GB compressed."),
        (None, (), 0, "GB compressed."),
    ],
)
def test_the_images_cuda_is_held_against_the_instance(
    config: Any,
    options: tuple[str, ...],
    code: int,
    told: str,
    blobs: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(blobs[0])
    assert doctor(Scripted(monkeypatch), blobs, config, *options) == code
    assert told in capsys.readouterr().out


def test_our_cuda_is_that_of_the_build() -> None:
    text = (ROOT / "container/image/cuda.txt").read_text()
    assert re.findall(r"Built for CUDA ([0-9.]+[0-9])", text) == [OWN_CUDA]
