"""What the estimator refuses, each with the way out in its message."""

from __future__ import annotations

from pixelserve.errors import PixelserveError


class CostError(PixelserveError):
    """An estimate that cannot be made as asked."""


class WorkloadError(CostError):
    """Fields of a workload that contradict each other; `sentence` has a `{}` for each name of `fields`."""

    def __init__(self, sentence: str, *fields: str) -> None:
        super().__init__(sentence.format(*fields))
        self.sentence, self.fields = sentence, fields


class PriceMissing(CostError):
    """The price book has no such prices, by `names`; nothing is put in their place."""

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class CurrencyMismatch(CostError):
    """Amounts of two currencies would have been added or compared."""
