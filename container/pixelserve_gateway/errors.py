"""What the gateway answers beside the errors of `pixelserve.errors`."""

from __future__ import annotations

from pixelserve.errors import PixelserveError


class Unauthorized(PixelserveError):
    """Nobody known is calling."""

    status = 401
    code = "unauthorized"


class Conflict(PixelserveError):
    """What was asked for contradicts what stands: a key used with another body, the cancelling of a finished job."""

    status = 409
    code = "conflict"


class RateLimited(PixelserveError):
    """More calls than the key has room for. `retry_after` says when there is room again."""

    status = 429
    code = "rate_limited"
    retryable = True
