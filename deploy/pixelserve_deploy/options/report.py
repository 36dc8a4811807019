"""The options that say where a report goes and in which form, and writing it there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.outputs import check_output, write_whole
from pixelserve_deploy.reports import REPORT_FORMATS, Report, render

FORM_OF_ENDING = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html"}


def add_report(parser: argparse.ArgumentParser) -> None:
    """--format and -o."""
    parser.add_argument("--format", choices=REPORT_FORMATS, help="default: by the ending of OUT, else table")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="file to write (default: print)")


def check_report(arguments: argparse.Namespace) -> None:
    """Before the work. Raises UsageError where OUT's ending says no form or another one, BadRequest for its place."""
    output: Path | None = arguments.output
    if output is None:
        return
    form = FORM_OF_ENDING.get(output.suffix.lower())
    if arguments.format is None and form is None:
        raise UsageError(f"-o {output}: name it {', '.join(FORM_OF_ENDING)}, or say its form with --format")
    if arguments.format and form not in (None, arguments.format):
        raise UsageError(f"-o {output} is {form}, and --format says {arguments.format}: leave out --format")
    check_output(output)


def write_report(report: Report, arguments: argparse.Namespace) -> None:
    """Prints the report, or writes it and says where. Raises BadRequest for a file that cannot be written."""
    output: Path | None = arguments.output
    form = arguments.format or (FORM_OF_ENDING.get(output.suffix.lower()) if output else None) or "table"
    if output is not None:
        save_text(output, render(report, form))
    elif form == "table" and console.is_drawn(sys.stdout):
        _draw(report)
    else:
        sys.stdout.write(render(report, form))


def _draw(report: Report) -> None:
    """The report's tables and notes on the terminal."""
    for section in report.sections:
        table = section.table
        if table is not None:
            console.print_table(table.headers, table.rows, right=table.right, total=table.total, title=section.title)
        for note in section.notes:
            print(f"  {note}")
        print()


def save_text(output: Path, text: str) -> None:
    """Writes a file and says so. Raises BadRequest where that fails."""
    write_whole(output, text.encode())
    print(f"wrote {output}", file=sys.stderr)
