"""Container images: recipes, building, pushing. Loaded on demand, for a recipe needs no Docker package."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.image.builder import build
    from pixelserve_deploy.image.daemon import ImageError, connect, find_local, translate_errors
    from pixelserve_deploy.image.pusher import check_deployable, push
    from pixelserve_deploy.image.recipe import Recipe, find_source
else:
    __getattr__ = exports(
        __name__,
        {
            ".builder": "build",
            ".daemon": "ImageError connect find_local translate_errors",
            ".pusher": "check_deployable push",
            ".recipe": "Recipe find_source",
        },
    )

__all__ = [
    "ImageError",
    "Recipe",
    "build",
    "check_deployable",
    "connect",
    "find_local",
    "find_source",
    "push",
    "translate_errors",
]
