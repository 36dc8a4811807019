"""Two bills of JSON beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pixelserve_deploy.cost.amounts import SYMBOLS
from pixelserve_deploy.cost.errors import CostError, CurrencyMismatch
from pixelserve_deploy.cost.pricebook import MARKED


@dataclass(frozen=True)
class Bill:
    """What a JSON report says of one bill."""

    id: str
    currency: str
    total: Decimal
    lines: Mapping[str, Decimal]
    """Amounts by service and line; lines of one name are added."""
    marked: Mapping[str, str]
    """The status of the lines whose prices are derived or unverified."""


@dataclass(frozen=True)
class Difference:
    """One line, or the total, before and after; 0 where it was not there."""

    name: str
    before: Decimal
    after: Decimal

    @property
    def part(self) -> Decimal | None:
        """By how much it rose, as a part of what it was; None from 0."""
        return (self.after - self.before) / self.before if self.before else None

    def exceeds(self, limit: Decimal) -> bool:
        """Whether it rose by more than the part."""
        return self.after > self.before * (1 + limit)


def read_bills(path: Path) -> list[Bill]:
    """The bills of `--format json`. Raises CostError for other files."""
    try:
        found = [_bill(fields) for fields in json.loads(path.read_text("utf-8"))]
        if not found:
            raise ValueError("it is empty")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise CostError(
            f"{path} is no bill: {error!r}. `pixelserve cost estimate --format json -o FILE` writes one."
        ) from None
    return found


def compare_bills(before: Bill, after: Bill) -> tuple[list[Difference], Difference]:
    """The lines and the total. Raises CurrencyMismatch for two currencies."""
    if before.currency != after.currency:
        raise CurrencyMismatch(
            f"{before.id} is in {before.currency}, {after.id} in {after.currency}: they cannot be compared. "
            "Estimate both in regions of one currency."
        )
    names = list(dict.fromkeys([*before.lines, *after.lines]))
    none = Decimal(0)
    lines = [Difference(name, before.lines.get(name, none), after.lines.get(name, none)) for name in names]
    return lines, Difference("Total", before.total, after.total)


def _bill(fields: Mapping[str, Any]) -> Bill:
    lines: dict[str, Decimal] = {}
    marked: dict[str, str] = {}
    for row in fields["rows"]:
        name = f"{row['service']}, {row['line']}" if "line" in row else f"{row['service']}, {row['usage']}"
        lines[name] = lines.get(name, Decimal(0)) + Decimal(row["amount"])
        if row["status"] in MARKED:
            marked[name] = row["status"]
    total = Decimal(fields["total"])
    if fields["currency"] not in SYMBOLS:
        raise ValueError(f"its currency {fields['currency']} is not {' or '.join(SYMBOLS)}")
    if not all(amount.is_finite() for amount in (total, *lines.values())):
        raise ValueError("an amount is no finite number")
    return Bill(fields["id"], fields["currency"], total, lines, marked)
