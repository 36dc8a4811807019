"""Price books: dated files of unit prices, each price with its status, date and source.

A book belongs to one partition and has one currency. What it does not have is refused by name, never guessed: not from
another region, not from another book. The books of the package are `data/pricebooks/*.json`; `cost refresh` writes new
ones.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

from pixelserve_deploy.aws import find_partition
from pixelserve_deploy.cost.errors import CostError, PriceMissing

MARKED = frozenset({"derived", "unverified"})
"""The statuses that every output marks."""
FREE = Decimal(0)


@dataclass(frozen=True)
class Tier:
    """A price per unit, up to a quantity a month; `up_to` is None for the last tier."""

    up_to: Decimal | None
    price: Decimal
    status: str | None = None
    """Where it is not that of the whole price."""


@dataclass(frozen=True)
class Price:
    """One unit price; `status` says how far it is to be trusted: documented, observed …, derived or unverified."""

    service: str
    region: str
    dimension: str
    unit: str
    tiers: tuple[Tier, ...]
    status: str
    as_of: str
    source: str

    @property
    def name(self) -> str:
        """How messages and differences call it."""
        return f"{self.service} {self.dimension} in {self.region}"

    @property
    def marked(self) -> bool:
        """Whether every output has to mark it."""
        return self.status in MARKED

    @property
    def first(self) -> Decimal:
        """The price of the first tier."""
        return self.tiers[0].price


@dataclass(frozen=True)
class Allowance:
    """What a month has free of charge, in the unit of the price."""

    service: str
    dimension: str
    amount: Decimal
    unit: str
    status: str
    as_of: str
    source: str

    @property
    def marked(self) -> bool:
        """Whether every output has to mark it."""
        return self.status in MARKED


@dataclass(frozen=True)
class PriceBook:
    """The unit prices of one partition in one currency."""

    id: str
    partition: str
    currency: str
    effective_from: str
    effective_to: str | None
    retrieved_at: str
    source: str
    prices: Mapping[tuple[str, str, str], Price]
    free: Mapping[tuple[str, str], Allowance]
    given: frozenset[tuple[str, str]] = frozenset()
    """Service and dimension of prices that a caller put in place of the book's."""

    @property
    def regions(self) -> list[str]:
        """The regions with at least one price."""
        return sorted({price.region for price in self.prices.values()})

    @property
    def sha256(self) -> str:
        """Of the prices and allowances, whatever their order in the file."""
        return fingerprint(list_price_rows(self.prices.values()), list_allowance_rows(self.free.values()))

    def find(self, service: str, region: str, dimension: str) -> Price | None:
        """The price, or None."""
        return self.prices.get((service, region, dimension))

    def price(self, service: str, region: str, dimension: str) -> Price:
        """The price. Raises PriceMissing with what is there instead."""
        self.require(region, [(service, dimension)])
        return self.prices[service, region, dimension]

    def require(self, region: str, wanted: Iterable[tuple[str, str]]) -> None:
        """Raises PriceMissing with all of the prices, by service and dimension, that the region lacks."""
        missing = [(service, dimension) for service, dimension in wanted if not self.find(service, region, dimension)]
        if not missing:
            return
        names = tuple(name_price(*pair) for pair in missing)
        if region not in self.regions:
            raise PriceMissing(
                f"The price book {self.id} has no prices of {region}. It has {', '.join(self.regions)}.", names
            )
        raise PriceMissing(
            f"The price book {self.id} has no price of {', '.join(map(' '.join, missing))} in {region}, "
            f"and none is guessed. {self._instead(region, missing)}",
            names,
        )

    def _instead(self, region: str, missing: Sequence[tuple[str, str]]) -> str:
        holders = [book.id for book in load_books().values() if all(book.find(s, region, d) for s, d in missing)]
        if holders:
            return f"The book {holders[-1]} has it: --book {holders[-1]}."
        service, dimension = missing[0]
        kind = dimension.partition(" ")[0]
        others = sorted(d for s, r, d in self.prices if (s, r) == (service, region) and d.partition(" ")[0] == kind)
        if others:
            return f"It has {', '.join(others)}."
        return (
            f"`pixelserve cost refresh --region {region}` asks AWS for it; or name another region that has it"
            f"{self._elsewhere(service, dimension)}."
        )

    def _elsewhere(self, service: str, dimension: str) -> str:
        places = sorted(r for s, r, d in self.prices if (s, d) == (service, dimension))
        return f": {', '.join(places)}" if places else ""


def name_price(service: str, dimension: str) -> str:
    """How a command line calls a price, without blanks: AmazonSageMaker/hosting/ml.g4dn.xlarge."""
    return f"{service} {dimension}".replace(" ", "/")


def list_price_rows(prices: Iterable[Price]) -> list[dict[str, Any]]:
    """Prices as the file has them, in the order of their names."""
    rows = [
        {
            "service": price.service,
            "region": price.region,
            "dimension": price.dimension,
            "unit": price.unit,
            "tiers": [_tier_row(tier) for tier in price.tiers],
            "status": price.status,
            "as_of": price.as_of,
            "source": price.source,
        }
        for price in prices
    ]
    return sorted(rows, key=lambda row: (str(row["service"]), str(row["region"]), str(row["dimension"])))


def _tier_row(tier: Tier) -> dict[str, str | None]:
    row = {"up_to": _text(tier.up_to), "price": str(tier.price)}
    return row if tier.status is None else {**row, "status": tier.status}


def list_allowance_rows(allowances: Iterable[Allowance]) -> list[dict[str, Any]]:
    """Allowances as the file has them."""
    rows = [{**vars(allowance), "amount": str(allowance.amount)} for allowance in allowances]
    return sorted(rows, key=lambda row: (row["service"], row["dimension"]))


def fingerprint(prices: list[dict[str, Any]], free: list[dict[str, Any]]) -> str:
    """SHA-256 of the rows in their canonical JSON."""
    text = json.dumps([prices, free], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def format_book(book: PriceBook) -> str:
    """The book as a file: JSON with one price a line, so that differences of versions are readable."""
    head = {
        "id": book.id,
        "partition": book.partition,
        "currency": book.currency,
        "effective_from": book.effective_from,
        "effective_to": book.effective_to,
        "retrieved_at": book.retrieved_at,
        "source": book.source,
        "sha256": book.sha256,
    }
    parts = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    lists = {"free": list_allowance_rows(book.free.values()), "prices": list_price_rows(book.prices.values())}
    for key, rows in lists.items():
        lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows)
        parts.append(f' "{key}": [\n{lines}\n ]' if rows else f' "{key}": []')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def parse_book(text: str, name: str) -> PriceBook:
    """The book of a file's text. Raises CostError naming what is wrong with it."""
    try:
        fields = json.loads(text)
        prices = [_price(row) for row in fields["prices"]]
        free = [Allowance(**{**row, "amount": Decimal(row["amount"])}) for row in fields["free"]]
        book = PriceBook(
            **{key: fields[key] for key in ("id", "partition", "currency", "effective_from", "effective_to")},
            retrieved_at=fields["retrieved_at"],
            source=fields["source"],
            prices={(price.service, price.region, price.dimension): price for price in prices},
            free={(allowance.service, allowance.dimension): allowance for allowance in free},
        )
        expected = fields.get("sha256", book.sha256)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise CostError(f"{name} is no price book: {error!r}. docs/cost.md has one to begin with.") from None
    if len(book.prices) != len(prices):
        raise CostError(f"{name} has two prices of one service, region and dimension. Keep one.")
    if expected != book.sha256:
        raise CostError(
            f"{name}: the prices have changed since the book was written (sha256 {book.sha256}, not {expected}). "
            "Put the prices back, or write the new sum if you meant to change them."
        )
    return book


def _price(row: Mapping[str, Any]) -> Price:
    tiers = tuple(Tier(_decimal(tier["up_to"]), Decimal(tier["price"]), tier.get("status")) for tier in row["tiers"])
    limits = [tier.up_to for tier in tiers]
    bounds = [limit for limit in limits if limit is not None]
    if not tiers or limits[-1] is not None or len(bounds) != len(tiers) - 1 or bounds != sorted(set(bounds)):
        raise ValueError(f"tiers of {row['dimension']} in {row['region']} do not ascend to an open end")
    if any(tier.price < FREE or not tier.price.is_finite() for tier in tiers):
        raise ValueError(f"{row['dimension']} in {row['region']} has a price that is no amount")
    fields = {key: row[key] for key in ("service", "region", "dimension", "unit", "status", "as_of", "source")}
    return Price(**fields, tiers=tiers)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


@functools.cache
def load_books() -> Mapping[str, PriceBook]:
    """The books of the package by id, oldest first."""
    folder = resources.files("pixelserve_deploy.cost") / "data" / "pricebooks"
    found = [parse_book(file.read_text("utf-8"), file.name) for file in folder.iterdir() if file.name.endswith(".json")]
    return {book.id: book for book in sorted(found, key=lambda book: (book.effective_from, book.id))}


def find_book(name: str) -> PriceBook:
    """The book of an id, or of a file's path. Raises CostError listing the books."""
    if name in load_books():
        return load_books()[name]
    path = Path(name)
    if not path.is_file():
        raise CostError(f"There is no price book {name}. Books: {', '.join(load_books())}; or the path of a file.")
    try:
        return parse_book(path.read_text("utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise CostError(f"Cannot read {name}: {error}.") from None


def find_partition_book(partition: str) -> PriceBook:
    """The newest book of a partition."""
    return [book for book in load_books().values() if book.partition == partition][-1]


def find_newest_book(region: str, *, filled: bool = False) -> PriceBook:
    """The newest book of the region's partition. Raises PriceMissing listing the regions when it has none of it.

    With `filled` the caller has the region's prices.
    """
    book = find_partition_book(find_partition(region))
    if region not in book.regions and not filled:
        known = sorted({name for other in load_books().values() for name in other.regions})
        raise PriceMissing(
            f"No price book has prices of {region}. Regions: {', '.join(known)}. "
            f"`pixelserve cost refresh --region {region}` asks AWS for others."
        )
    return book
