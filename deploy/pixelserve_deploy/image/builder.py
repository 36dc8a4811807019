"""Building through the Docker Engine's own API, which makes the plain manifests that SageMaker takes: no provenance, no
index of platforms.
"""

from __future__ import annotations

import tarfile
import tempfile

import docker

from pixelserve_deploy.artifact import add_files
from pixelserve_deploy.console import ShowLine
from pixelserve_deploy.image.daemon import PLATFORM, follow_events, translate_errors
from pixelserve_deploy.image.recipe import Recipe


def build(client: docker.DockerClient, recipe: Recipe, show: ShowLine) -> str:
    """Builds the image and returns its tag. `show` gets each line that the engine says.

    Raises ImageError, or BadRequest for a handler or weights that cannot be taken.
    """
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as archive:
            add_files(archive, recipe.list_context())
        context.seek(0)
        with translate_errors(f"Building {recipe.tag} failed"):
            events = client.api.build(
                fileobj=context,
                custom_context=True,
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
