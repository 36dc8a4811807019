"""Container images, built and pushed through the Docker Engine's own API, which makes the plain manifests SageMaker
takes: no provenance, no index of platforms.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import docker
import requests
from docker.errors import DockerException, ImageNotFound, NotFound

import pixelserve
from pixelserve.errors import BadRequest, PixelserveError, Unavailable
from pixelserve.observe import harmless

PLATFORM = "linux/amd64"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
"""The one media type of manifests that every way of hosting on SageMaker takes."""
NAME = "pixelserve"
SOURCES = ("LICENSE", "README.md", "code", "constraints.txt", "container", "deploy", "pyproject.toml", "setup.cfg")

Progress = Callable[[str], None]


class ImageError(PixelserveError):
    """Building, pushing or checking an image failed; the message ends with what the engine said last."""

    code = "image_error"


@dataclass(frozen=True)
class Recipe:
    """What to build. `handler` is a feature's name, or the folder of a handler to put into the image."""

    source: Path
    handler: str = "image_super_resolution"
    target: Literal["server", "lambda"] = "server"
    device: Literal["cpu", "cuda"] = "cpu"
    mms: bool = False
    weights: tuple[str, ...] = ()
    name: str = NAME
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Further build arguments of the Dockerfile: BASE, TORCH_INDEX_URL, TORCH_FIND_LINKS, PIXELSERVE_WEIGHTS_MIRROR."""
    network: str | None = None
    cache: bool = True

    @property
    def folder(self) -> Path | None:
        """The handler's folder, None for a feature."""
        path = Path(self.handler).expanduser()
        return path.resolve() if (path / "inference.py").is_file() else None

    @property
    def tag(self) -> str:
        """name:version-commit, with what sets this image apart: its handler by content, its weights, its device."""
        parts = [pixelserve.__version__, _commit(self.source)]
        if self.folder is not None:
            parts.append(_digest(self.folder))
        elif self.handler != Recipe.handler:
            parts.append(self.handler)
        parts += self.weights
        parts += [self.device] * (self.device != "cpu") + ["mms"] * self.mms + ["lambda"] * (self.target == "lambda")
        return f"{self.name}:{'-'.join(filter(None, parts))}"

    def build_arguments(self) -> dict[str, str]:
        """The Dockerfile's arguments."""
        return {
            "DEVICE": self.device,
            "MMS": str(self.mms).lower(),
            "FEATURE": "/opt/pixelserve/handler" if self.folder else self.handler.replace("-", "_"),
            "WEIGHTS": " ".join(self.weights),
            "VERSION": pixelserve.__version__,
            "REVISION": _commit(self.source) or "unknown",
            **self.arguments,
        }


def find_source(given: Path | None) -> Path:
    """The folder given, else the clone this package runs from, else the current one. Raises BadRequest."""
    for folder in [given] if given else [Path(__file__).parents[2], Path.cwd()]:
        if (folder / "Dockerfile").is_file() and (folder / "container" / "pixelserve").is_dir():
            return folder
    raise BadRequest(
        f"There is no Dockerfile of pixelserve in {given or 'this folder'}. Run this in a clone of pixelserve, or give "
        "--source FOLDER."
    )


def _commit(source: Path) -> str:
    """The first digits of the commit, with -dirty where files differ from it; empty outside a git repository."""
    git = ["git", "-C", str(source)]
    try:
        commit = subprocess.check_output([*git, "rev-parse", "--short=8", "HEAD"], text=True, stderr=subprocess.DEVNULL)
        differs = subprocess.check_output([*git, "status", "--porcelain"], text=True, stderr=subprocess.DEVNULL)
        return commit.strip() + ("-dirty" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _digest(folder: Path) -> str:
    """Eight digits that tell the contents of one handler's folder from another's."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def engine() -> docker.DockerClient:
    """The Docker Engine of DOCKER_HOST. Raises Unavailable saying how to get one."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).exists():
        raise Unavailable(f"No Docker Engine listens on {host}. Start Docker, or point DOCKER_HOST to one.")
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        raise Unavailable(f"No Docker Engine answers ({error}). Start Docker, or point DOCKER_HOST to one.") from None
    return client


def build(client: docker.DockerClient, recipe: Recipe, progress: Progress) -> str:
    """Builds the image and returns its tag. `progress` gets each line that the engine says. Raises ImageError."""
    with tempfile.TemporaryDirectory() as context, _engine_errors(f"Building {recipe.tag} failed"):
        _gather(recipe, Path(context))
        events = client.api.build(
            path=context,
            tag=recipe.tag,
            target=recipe.target,
            buildargs=recipe.build_arguments(),
            platform=PLATFORM,
            network_mode=recipe.network,
            nocache=not recipe.cache,
            rm=True,
            forcerm=True,
            decode=True,
        )
        _follow(events, progress, f"Building {recipe.tag} failed")
    return recipe.tag


def _gather(recipe: Recipe, context: Path) -> None:
    """The files that the Dockerfile copies."""
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in ("Dockerfile", ".dockerignore", *SOURCES):
        path = recipe.source / name
        if path.is_dir():
            shutil.copytree(path, context / name, ignore=without_caches)
        else:
            shutil.copy2(path, context / name)
    if recipe.folder is not None:
        _copy_handler(recipe.folder, context / "handler")


def _copy_handler(folder: Path, target: Path) -> None:
    """The handler's folder without what is hidden (.git, .env …). Raises BadRequest for links that lead out of it."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_symlink() and not path.resolve().is_relative_to(folder):
            raise BadRequest(f"{path} is a link out of the handler's folder. Copy what it leads to, or remove it.")
    try:
        shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    except (OSError, shutil.Error) as error:
        raise BadRequest(f"{folder} cannot be copied: {error}") from None


@contextlib.contextmanager
def _engine_errors(failure: str, passing: type[Exception] = ImageError) -> Iterator[None]:
    """Raises ImageError for what the engine, or the way to it, says of itself; lets `passing` through."""
    try:
        yield
    except passing:
        raise
    except (DockerException, requests.RequestException) as error:
        raise ImageError(f"{failure}: {harmless(str(error))}") from None


def find_local(client: docker.DockerClient, tag: str) -> Any:
    """The engine's image of this tag. Raises ImageError when it has none."""
    try:
        return client.images.get(tag)
    except ImageNotFound:
        raise ImageError(f"There is no image {tag} here: pixelserve build.") from None


def push(client: docker.DockerClient, tag: str, repository: str, auth: Mapping[str, str], progress: Progress) -> str:
    """Pushes a local image as repository:version and returns that, once its manifest is one that SageMaker takes.

    `auth` is {"username", "password"}, empty for a registry without. Raises ImageError.
    """
    image = find_local(client, tag)
    version = tag.rpartition(":")[2]
    with _engine_errors(f"Pushing {repository}:{version} failed"):
        image.tag(repository, version)
        events = client.api.push(repository, version, stream=True, decode=True, auth_config=dict(auth) or None)
        _follow(events, progress, f"Pushing {repository}:{version} failed")
    check_deployable(client, f"{repository}:{version}", auth)
    return f"{repository}:{version}"


def check_deployable(client: docker.DockerClient, reference: str, auth: Mapping[str, str]) -> None:
    """Raises ImageError unless the registry has a plain linux/amd64 image under `reference`."""
    try:
        with _engine_errors(f"Looking up {reference} failed", passing=NotFound):
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


def _follow(events: Iterable[dict[str, Any]], progress: Progress, failure: str) -> None:
    """Passes the engine's messages on. Raises ImageError for the first that is an error."""
    last: list[str] = []
    for event in events:
        if "error" in event:
            raise ImageError("\n".join([f"{failure}: {harmless(str(event['error']).strip())}", *last[-10:]]))
        line = _line(event)
        if line:
            last.append(line)
            progress(line)


def _line(event: Mapping[str, Any]) -> str:
    """One message of the engine as text; empty for what says nothing new."""
    if "stream" in event:
        return harmless(re.sub(r"\x1b\[[0-9;]*m", "", str(event["stream"])).strip())
    detail = event.get("progressDetail") or {}
    if detail.get("total") and event.get("status") == "Pushing":
        percent = 100 * detail.get("current", 0) // detail["total"]
        return harmless(f"{event.get('id', '')}: {percent} % of {detail['total'] / 1e6:.0f} MB")
    return harmless(f"{event.get('id', '')} {event.get('status', '')}".strip())
