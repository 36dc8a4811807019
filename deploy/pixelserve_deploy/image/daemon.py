"""The Docker Engine: how it is reached, and what it says while it works."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from pixelserve.errors import PixelserveError, Unavailable
from pixelserve.observe import harmless
from pixelserve_deploy.console import ShowLine

PLATFORM = "linux/amd64"


class ImageError(PixelserveError):
    """Building, pushing or checking an image failed; the message ends with what the engine said last."""

    code = "image_error"


@contextlib.contextmanager
def connect() -> Iterator[docker.DockerClient]:
    """The Docker Engine of DOCKER_HOST, until the end of the block. Raises Unavailable saying how to get one."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).exists():
        raise Unavailable(f"No Docker Engine listens on {host}. Start Docker, or point DOCKER_HOST to one.")
    try:
        client = docker.from_env(timeout=600)
    except DockerException as error:
        raise Unavailable(f"No Docker Engine answers ({error}). Start Docker, or point DOCKER_HOST to one.") from None
    with contextlib.closing(client):
        yield client


def find_local(client: docker.DockerClient, tag: str) -> Any:
    """The engine's image of this tag. Raises ImageError when it has none."""
    try:
        return client.images.get(tag)
    except ImageNotFound:
        raise ImageError(f"There is no image {tag} here: pixelserve build.") from None


@contextlib.contextmanager
def translate_errors(failure: str, passing: type[Exception] = ImageError) -> Iterator[None]:
    """Raises ImageError for what the engine, or the way to it, says of itself; lets `passing` through."""
    try:
        yield
    except passing:
        raise
    except (DockerException, requests.RequestException) as error:
        raise ImageError(f"{failure}: {harmless(str(error))}") from None


def follow_events(events: Iterable[dict[str, Any]], show: ShowLine, failure: str) -> None:
    """Shows the engine's messages. Raises ImageError for the first that is an error, once the engine has said all: its
    connection would stay open else.
    """
    last: list[str] = []
    problem = ""
    for event in events:
        if "error" in event:
            problem = problem or "\n".join([f"{failure}: {harmless(str(event['error']).strip())}", *last[-10:]])
        elif line := _read_event(event):
            last.append(line)
            show(line)
    if problem:
        raise ImageError(problem)


def _read_event(event: Mapping[str, Any]) -> str:
    """One message of the engine as text; empty for what says nothing new."""
    if "stream" in event:
        return harmless(re.sub(r"\x1b\[[0-9;]*m", "", str(event["stream"])).strip())
    detail = event.get("progressDetail") or {}
    if detail.get("total") and event.get("status") == "Pushing":
        percent = 100 * detail.get("current", 0) // detail["total"]
        return harmless(f"{event.get('id', '')}: {percent} % of {detail['total'] / 1e6:.0f} MB")
    return harmless(f"{event.get('id', '')} {event.get('status', '')}".strip())
