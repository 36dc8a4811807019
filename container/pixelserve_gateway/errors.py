"""What the gateway answers beside the errors of `pixelserve.errors` and of its jobs."""

from __future__ import annotations

from pixelserve.errors import PixelserveError


class Unauthorized(PixelserveError):
    """Nobody known is calling."""

    status = 401
    code = "unauthorized"


class Forbidden(PixelserveError):
    """The caller is known, and may not call this."""

    status = 403
    code = "forbidden"
