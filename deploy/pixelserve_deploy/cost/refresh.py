"""A new, dated price book from an old one and AWS's Price List, and what has changed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.errors import PriceMissing
from pixelserve_deploy.cost.pricebook import Price, PriceBook
from pixelserve_deploy.cost.pricelist import PriceRefused, Wanted

LARGE = Decimal("0.2")
"""A change by more than this part is flagged."""


@dataclass(frozen=True)
class Change:
    """A price before and now, in its first tier; `before` is None for a new one."""

    name: str
    before: Decimal | None
    now: Decimal

    @property
    def part(self) -> Decimal | None:
        """By how much it has changed, as a part of what it was."""
        return (self.now - self.before) / self.before if self.before else None

    @property
    def large(self) -> bool:
        """Whether somebody should look at it."""
        return self.part is not None and abs(self.part) > LARGE


@dataclass(frozen=True)
class Refreshed:
    """The new book, what changed, and the prices that the list refused: the book keeps the old ones of those."""

    book: PriceBook
    changes: tuple[Change, ...]
    refused: tuple[str, ...]


def refreshed(
    old: PriceBook, region: str, wants: Sequence[Wanted], look: Callable[[Wanted], Price], today: datetime.date
) -> Refreshed:
    """The old book with the region's prices as `look` finds them. Raises PriceMissing when it finds none."""
    prices = dict(old.prices)
    changes, refused = [], []
    for wanted in wants:
        try:
            price = look(wanted)
        except PriceRefused as refusal:
            refused.append(refusal.message)
            continue
        before = old.find(price.service, region, price.dimension)
        prices[price.service, region, price.dimension] = price
        if before is None or before.tiers != price.tiers:
            changes.append(Change(price.name, before.first if before else None, price.first))
    if len(refused) == len(wants):
        raise PriceMissing(f"The price list has none of the prices, so no book is written. {' '.join(refused)}")
    book = replace(
        old,
        id=f"{old.partition}-{today:%Y-%m-%d}",
        effective_from=today.isoformat(),
        effective_to=None,
        retrieved_at=today.isoformat(),
        source=f"AWS Price List for {region} on {today.isoformat()}; the rest as in {old.id}",
        prices=prices,
    )
    return Refreshed(book, tuple(changes), tuple(refused))
