"""The explorer at /explorer and the playground at /: packaged files, nothing from elsewhere, no inline script."""

from pixelserve_gateway.page.routes import Authorization, build_router

__all__ = ["Authorization", "build_router"]
