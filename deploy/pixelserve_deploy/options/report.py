"""The options that say where a report goes and in which form, and writing it there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.outputs import check_output, write_whole
from pixelserve_deploy.reports import REPORT_FORMATS, Report, render

IDLE_IN_CSV = ("explain", "swing")
"""What a report tells beside the lines, of which CSV has nothing."""
FORM_OF_ENDING = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html"}


def add_report(parser: argparse.ArgumentParser) -> None:
    """--format and -o."""
    parser.add_argument("--format", choices=REPORT_FORMATS, help="default: by the ending of OUT, else table")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="file to write (default: print)")


def check_report(arguments: argparse.Namespace) -> None:
    """Before the work. Raises UsageError where OUT's ending says no form or another one, and for an option that the
    form does not heed; BadRequest for its place."""
    output: Path | None = arguments.output
    idle = [f"--{name}" for name in IDLE_IN_CSV if getattr(arguments, name, None)]
    if idle and _choose_form(arguments) == "csv":
        raise UsageError(f"{' and '.join(idle)}: CSV has the lines alone, so leave it out, or choose another --format")
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
    form = _choose_form(arguments)
    if output is not None:
        save_text(output, render(report, form))
    elif form == "table" and console.is_drawn(sys.stdout):
        _draw(report)
    else:
        sys.stdout.write(render(report, form))


def _choose_form(arguments: argparse.Namespace) -> str:
    by_ending = FORM_OF_ENDING.get(arguments.output.suffix.lower()) if arguments.output else None
    return arguments.format or by_ending or "table"


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
