"""What a report is: sections of tables, charts and notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Cells as text; columns named in `right` are aligned to the right."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[str] = frozenset()
    total: bool = False
    """The last row is the sum of the others."""


@dataclass(frozen=True)
class Section:
    """A title with a table, notes below it, and a chart that only HTML shows."""

    title: str
    table: Table | None = None
    notes: tuple[str, ...] = ()
    chart: Callable[[], str] | None = None


@dataclass(frozen=True)
class Report:
    """`data` is the JSON; `flat` is the one table of the CSV."""

    title: str
    sections: tuple[Section, ...]
    data: Any
    flat: Table
    language: str = "en"
