"""The book of a question, with prices that a caller gives in place of the book's."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.pricebook import (
    Price,
    PriceBook,
    Tier,
    find_book,
    find_newest_book,
    load_books,
    name_price,
)


def choose_book(name: str | None, region: str, prices: Sequence[tuple[str, Decimal]]) -> PriceBook:
    """The book of a name, or the newest of the region, with these prices of the region in place of its own.

    Raises CostError for a price that no book has in any region, PriceMissing for a region without prices.
    """
    book = find_book(name) if name else find_newest_book(region, filled=bool(prices))
    found = [_make_price(price, amount, region) for price, amount in prices]
    return replace(
        book,
        prices={**book.prices, **{(price.service, region, price.dimension): price for price in found}},
        given=frozenset((price.service, price.dimension) for price in found),
    )


def require_given_used(book: PriceBook, used: Iterable[Price]) -> None:
    """Raises CostError for a price of the caller's that is not among those that were counted with."""
    names = {name_price(price.service, price.dimension) for price in used}
    idle = sorted({name_price(*pair) for pair in book.given} - names)
    if idle:
        raise CostError(f"--price {', '.join(idle)}: no line of the bill has it. It has {', '.join(sorted(names))}.")


def _make_price(name: str, amount: Decimal, region: str) -> Price:
    """A price of the command line, in the unit that its kind has in every book."""
    service, _, dimension = name.replace("/", " ").partition(" ")
    for price in _list_prices():
        if price.service == service and _kind(price.dimension) == _kind(dimension):
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            return Price(service, region, dimension, price.unit, (Tier(None, amount),), "given", today, "--price")
    known = {
        name_price(price.service, f"{kind} TYPE" if typed else kind)
        for price in _list_prices()
        for kind, typed in [_kind(price.dimension)]
    }
    raise CostError(f"There is no price {name}. Names: {', '.join(sorted(known))}.")


def _list_prices() -> Iterator[Price]:
    return (price for book in load_books().values() for price in book.prices.values())


def _kind(dimension: str) -> tuple[str, bool]:
    """What is priced, and whether a type of instance follows."""
    kind, typed, _ = dimension.partition(" ")
    return kind, bool(typed)
