"""Reports: sections of tables, charts and notes, written as text, Markdown, CSV, JSON or HTML."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FORMATS = ("table", "json", "csv", "markdown", "html")


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


def render(report: Report, form: str) -> str:
    """The report in one of `FORMATS`, with a line end."""
    if form == "html":
        from pixelserve_deploy.cost.html import page

        return page(report)
    writers = {"table": as_text, "json": as_json, "csv": as_csv, "markdown": as_markdown}
    return writers[form](report)


def as_json(report: Report) -> str:
    """The report's data."""
    return json.dumps(report.data, ensure_ascii=False, indent=1) + "\n"


def as_csv(report: Report) -> str:
    """The report's one flat table."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(report.flat.headers)
    writer.writerows(report.flat.rows)
    return buffer.getvalue()


def as_text(report: Report) -> str:
    """Tables for a terminal."""
    return "\n".join("\n".join(_text_of(section)) + "\n" for section in report.sections)


def as_markdown(report: Report) -> str:
    """Tables for a page or a pull request."""
    parts = [f"# {report.title}\n"]
    for section in report.sections:
        parts.append(f"## {section.title}\n")
        if section.table is not None:
            parts.append("\n".join(markdown_rows(section.table)) + "\n")
        if section.notes:
            parts.append("\n".join(f"* {note}" for note in section.notes) + "\n")
    return "\n".join(parts)


def markdown_rows(table: Table) -> list[str]:
    """The table in Markdown, one line a row."""
    rules = ["---:" if header in table.right else "---" for header in table.headers]
    lines = [table.headers, rules, *table.rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _text_of(section: Section) -> list[str]:
    lines = [section.title]
    if section.table is not None:
        lines += _columns(section.table)
    return [*lines, *(f"  {note}" for note in section.notes)]


def _columns(table: Table) -> list[str]:
    cells = [table.headers, *table.rows]
    widths = [max(_width(line[number]) for line in cells) for number in range(len(table.headers))]
    right = [header in table.right for header in table.headers]
    lines = ["  " + "  ".join(map(_pad, line, widths, right)).rstrip() for line in cells]
    rule = "  " + "  ".join("-" * width for width in widths)
    end = len(lines) - 1 if table.total else len(lines)
    return [lines[0], rule, *lines[1:end], *([rule, lines[-1]] if table.total else [])]


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
