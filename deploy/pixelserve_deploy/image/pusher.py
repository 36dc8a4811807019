"""Pushing to a registry, and whether SageMaker can take what lies there."""

from __future__ import annotations

from collections.abc import Mapping

import docker
from docker.errors import NotFound

from pixelserve_deploy.console import ShowLine
from pixelserve_deploy.image.daemon import (
    PLATFORM,
    ImageError,
    find_local,
    follow_events,
    translate_errors,
)

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""The one media type of manifests that every way of hosting on SageMaker takes."""


def push(client: docker.DockerClient, tag: str, repository: str, auth: Mapping[str, str], show: ShowLine) -> str:
    """Pushes a local image as repository:version and returns that, once its manifest is one that SageMaker takes.

    `auth` is {"username", "password"}, empty for a registry without. Raises ImageError.
    """
    image = find_local(client, tag)
    version = tag.rpartition(":")[2]
    with translate_errors(f"Pushing {repository}:{version} failed"):
        image.tag(repository, version)
        events = client.api.push(repository, version, stream=True, decode=True, auth_config=dict(auth) or None)
        follow_events(events, show, f"Pushing {repository}:{version} failed")
    check_deployable(client, f"{repository}:{version}", auth)
    return f"{repository}:{version}"


def check_deployable(client: docker.DockerClient, reference: str, auth: Mapping[str, str]) -> None:
    """Raises ImageError unless the registry has a plain linux/amd64 image under `reference`."""
    try:
        with translate_errors(f"Looking up {reference} failed", passing=NotFound):
            found = client.images.get_registry_data(reference, auth_config=dict(auth) or None)
    except NotFound:
        raise ImageError(f"The registry has no {reference}: pixelserve push.") from None
    media_type = found.attrs["Descriptor"]["mediaType"]
    if media_type != MANIFEST:
        raise ImageError(
            f"{reference} has a manifest of type {media_type}, which SageMaker refuses. Build it with `pixelserve "
            "build`, or with docker buildx --provenance=false --output type=docker, and push it again."
        )
    platforms = [f"{platform['os']}/{platform['architecture']}" for platform in found.attrs["Platforms"]]
    if platforms != [PLATFORM]:
        raise ImageError(f"{reference} is for {', '.join(platforms)}; SageMaker runs {PLATFORM}. Build it for that.")
