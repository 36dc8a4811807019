"""What an image in Amazon ECR says of itself: its configuration, read without pulling a layer.

The configuration is the OCI image specification's (`config.Labels`, `config.Env`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from pixelserve_deploy.aws import AwsError, Client

DEVICE_LABEL = "pixelserve.device"
OWN_CUDA = "12.8"
"""Of images that `pixelserve build --device cuda` makes (container/image/cuda.txt)."""
CUDA_VARIABLE = "CUDA_VERSION="
"""In the environment of NVIDIA's images, and of those made from them."""
MOST_BYTES = 1_000_000
SECONDS = 10.0


def read_cuda(client: Client, account: str, repository: str, manifest: Mapping[str, Any]) -> str | None:
    """The image's version of CUDA, `12.8`; empty for one of ours without, None where it does not say."""
    if "config" not in manifest:
        return None
    try:
        address = client.get_download_url_for_layer(
            registryId=account, repositoryName=repository, layerDigest=manifest["config"]["digest"]
        )["downloadUrl"]
        return _find_cuda(json.loads(_download(address)).get("config") or {})
    except (AwsError, httpx.HTTPError, ValueError):
        return None  # nothing is refused for what is not known


def _download(address: str) -> bytes:
    with httpx.stream("GET", address, timeout=SECONDS, follow_redirects=True) as answer:
        answer.raise_for_status()
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                raise ValueError("this is no image's configuration")
    return body


def _find_cuda(config: Mapping[str, Any]) -> str | None:
    device = (config.get("Labels") or {}).get(DEVICE_LABEL)
    if device is not None:
        return OWN_CUDA if device == "cuda" else ""
    told = [text.removeprefix(CUDA_VARIABLE) for text in config.get("Env") or [] if text.startswith(CUDA_VARIABLE)]
    return told[0] if told else None
