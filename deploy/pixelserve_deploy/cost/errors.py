"""What the estimator refuses, each with the way out in its message."""

from __future__ import annotations

from pixelserve.errors import PixelserveError


class CostError(PixelserveError):
    """An estimate that cannot be made as asked."""


class PriceMissing(CostError):
    """The price book has no such price; nothing is put in its place."""


class CurrencyMismatch(CostError):
    """Amounts of two currencies would have been added or compared."""
