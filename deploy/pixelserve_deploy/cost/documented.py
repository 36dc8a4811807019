"""The five documented tables: their profiles, their rows as printed, and what is wrong with them, all from data."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pixelserve_deploy.cost.amounts import format_plain
from pixelserve_deploy.cost.engine import Erratum, Estimate, LineItem, estimate
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.files import load_data
from pixelserve_deploy.cost.policy import Policy
from pixelserve_deploy.cost.pricebook import find_book
from pixelserve_deploy.cost.profile import UsageProfile

DECIMALS = ("requests", "seconds", "request_bytes", "response_bytes", "log_bytes", "image_gb")


@dataclass(frozen=True)
class PrintedRow:
    """A row of a document, verbatim; `printed` is its amount without the symbol."""

    line: str
    service: str
    usage: str
    service_zh: str
    usage_zh: str
    amount_zh: str
    printed: str


@dataclass(frozen=True)
class DocumentedCase:
    """A documented table."""

    id: str
    book: str
    profile: UsageProfile
    rows: tuple[PrintedRow, ...]
    printed_total: str
    errata: tuple[Erratum, ...]

    def estimate(self, policy: Policy) -> Estimate:
        """The table as the engine has it. Raises CostError where its lines are not those of the document."""
        found = estimate(self.profile, find_book(self.book), policy, errata=self.errata, name=self.id)
        if [line.key for line in found.lines] != [row.line for row in self.rows]:
            raise CostError(f"The rows of {self.id} are not the lines of its mode. Correct data/cases.json.")
        return found

    @property
    def remarks(self) -> list[str]:
        """What is wrong beside the amounts."""
        return [erratum.why for erratum in self.errata if erratum.printed is None]

    def as_printed(self, found: Estimate) -> tuple[int, bool]:
        """How many lines of an estimate read as printed, and whether the total does."""
        pairs = zip(found.lines, self.rows, strict=True)
        total = format_plain(found.total) == format_plain(Decimal(self.printed_total))
        return sum(format_amount(line) == row.printed for line, row in pairs), total


def format_amount(line: LineItem) -> str:
    """An amount as the documents write it: the price itself where it is that of one unit, else without zeros."""
    if line.quantity == 1 and line.amount == line.unit_price:
        return f"{line.unit_price:f}"
    return format_plain(line.amount)


@functools.cache
def load_cases() -> tuple[DocumentedCase, ...]:
    """The documented tables, in the order of the documents."""
    errata: list[dict[str, Any]] = load_data("errata.json")
    return tuple(_case(fields, errata) for fields in load_data("cases.json"))


def choose_cases(names: Sequence[str]) -> list[DocumentedCase]:
    """The cases whose id begins with one of the names; all without names. Raises CostError listing them."""
    if not names:
        return list(load_cases())
    found = []
    for name in names:
        wanted = name.replace("-", "_").rstrip("/")
        hits = [case for case in load_cases() if case.id.replace("-", "_").startswith(wanted)]
        if not hits:
            raise CostError(f"There is no table {name}. Tables: {', '.join(case.id for case in load_cases())}.")
        found += [case for case in hits if case not in found]
    return found


def _case(fields: dict[str, Any], errata: list[dict[str, Any]]) -> DocumentedCase:
    profile: dict[str, Any] = {
        key: Decimal(value) if key in DECIMALS else value for key, value in fields["profile"].items()
    }
    return DocumentedCase(
        id=fields["id"],
        book=fields["book"],
        profile=UsageProfile(**profile),
        rows=tuple(PrintedRow(**row) for row in fields["rows"]),
        printed_total=fields["printed_total"],
        errata=tuple(_erratum(erratum) for erratum in errata if fields["id"] in erratum["cases"]),
    )


def _erratum(fields: dict[str, Any]) -> Erratum:
    amounts = {key: Decimal(fields[key]) for key in ("printed", "expected") if key in fields}
    return Erratum(fields["why"], fields.get("line"), **amounts)
