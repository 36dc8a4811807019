"""Building through the Docker Engine's own API, which makes the plain manifests that SageMaker takes: no provenance, no
index of platforms.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import docker

from pixelserve.errors import BadRequest
from pixelserve_deploy.console import ShowLine
from pixelserve_deploy.image.daemon import PLATFORM, follow_events, translate_errors
from pixelserve_deploy.image.recipe import Recipe

SOURCES = ("LICENSE", "README.md", "code", "constraints.txt", "container", "deploy", "pyproject.toml", "setup.cfg")


def build(client: docker.DockerClient, recipe: Recipe, show: ShowLine) -> str:
    """Builds the image and returns its tag. `show` gets each line that the engine says. Raises ImageError."""
    with tempfile.TemporaryDirectory() as context, translate_errors(f"Building {recipe.tag} failed"):
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
        follow_events(events, show, f"Building {recipe.tag} failed")
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
