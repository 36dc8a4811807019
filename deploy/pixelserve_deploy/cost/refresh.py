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
class RefreshResult:
    """The new book, what changed, and the prices that the list refused: the book keeps the old ones of those."""

    book: PriceBook
    changes: tuple[Change, ...]
    refused: tuple[str, ...]


def refresh_book(
    old: PriceBook, region: str, wants: Sequence[Wanted], look: Callable[[Wanted], Price], today: datetime.date
) -> RefreshResult:
    """The old book with the region's prices as `look` finds them. Raises PriceMissing when it finds none."""
    prices = dict(old.prices)
    changes, refused = [], []
    for wanted in wants:
        try:
            price = look(wanted)
        except PriceRefused as refusal:
            refused.append(refusal.message)
            continue
        for new in [price, *_copies(old, price)]:
            before = old.find(new.service, region, new.dimension)
            prices[new.service, region, new.dimension] = new
            if before is None or before.tiers != new.tiers:
                changes.append(Change(new.name, before.first if before else None, new.first))
    if len(refused) == len(wants):
        raise PriceMissing(f"The price list has none of the prices, so no book is written. {' '.join(refused)}")
    book = replace(
        old,
        id=name_book(old, region, today),
        effective_from=today.isoformat(),
        effective_to=None,
        retrieved_at=today.isoformat(),
        source=f"AWS Price List for {region} on {today.isoformat()}; the rest as in {old.id}",
        prices=prices,
    )
    return RefreshResult(book, tuple(changes), tuple(refused))


def name_book(old: PriceBook, region: str, today: datetime.date) -> str:
    """What the new book is called."""
    return f"{old.partition}-{region}-{today:%Y-%m-%d}"


def _copies(old: PriceBook, hosting: Price) -> list[Price]:
    """The instance's asynchronous and batch prices that the old book took from its hosting price, taken anew."""
    kind, _, instance = hosting.dimension.partition(" ")
    before = old.find(hosting.service, hosting.region, hosting.dimension)
    if kind != "hosting" or before is None:
        return []
    found = [old.find(hosting.service, hosting.region, f"{other} {instance}") for other in ("async", "batch")]
    return [
        replace(price, tiers=hosting.tiers, as_of=hosting.as_of)
        for price in found
        if price is not None and price.marked and price.tiers == before.tiers
    ]
