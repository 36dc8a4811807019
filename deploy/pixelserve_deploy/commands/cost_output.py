"""Where the reports of `pixelserve cost` go, and in which form."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pixelserve.errors import BadRequest
from pixelserve_deploy.cost.report import FORMATS, Report, render

ENDINGS = {".json": "json", ".csv": "csv", ".md": "markdown", ".html": "html"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of OUT, else table")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="file to write (default: print)")


def write(report: Report, arguments: argparse.Namespace) -> None:
    """Prints the report, or writes it and says where. Raises BadRequest for a file that cannot be written."""
    output: Path | None = arguments.output
    form = arguments.format or (ENDINGS.get(output.suffix.lower()) if output else None) or "table"
    text = render(report, form)
    if output is None:
        sys.stdout.write(text)
        return
    save(output, text)


def save(output: Path, text: str) -> None:
    """Writes a file and says so. Raises BadRequest where that fails."""
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise BadRequest(f"Cannot write {output}: {error.strerror}.") from None
    print(f"wrote {output}", file=sys.stderr)
