"""Reports as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

from pixelserve_deploy.reports.report import Report, Section, Table


def render_json(report: Report) -> str:
    """The report's data."""
    return json.dumps(report.data, ensure_ascii=False, indent=1) + "\n"


def render_csv(report: Report) -> str:
    """The report's one flat table."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(report.flat.headers)
    writer.writerows(report.flat.rows)
    return buffer.getvalue()


def render_text(report: Report) -> str:
    """Tables for a terminal."""
    return "\n".join("\n".join(_text_of(section)) + "\n" for section in report.sections)


def render_markdown(report: Report) -> str:
    """Tables for a page or a pull request."""
    parts = [f"# {report.title}\n"]
    for section in report.sections:
        parts.append(f"## {section.title}\n")
        if section.table is not None:
            parts.append("\n".join(render_markdown_table(section.table)) + "\n")
        if section.notes:
            parts.append("\n".join(f"* {note}" for note in section.notes) + "\n")
    return "\n".join(parts)


def render_markdown_table(table: Table) -> list[str]:
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
