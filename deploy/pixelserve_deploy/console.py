"""What the command line shows: tables, progress, findings and errors.

On a terminal rich draws them. Everywhere else, and where rich is not installed, they are plain lines that scripts can
read. rich is imported when something is drawn, never before.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from pixelserve.errors import BadRequest
from pixelserve.observe import harmless

if TYPE_CHECKING:
    from rich.console import Console

    from pixelserve.local import Endpoint
    from pixelserve.observe import LogLine
    from pixelserve.processes import Stop

ShowBytes = Callable[[int, int], None]
"""Takes the bytes that are done and their total."""
ShowLine = Callable[[str], None]
"""Takes the next line of a long work."""
ShowItem = Callable[[int, int, str, bool], None]
"""Takes an item's number, how many there are, a line about it, and whether it failed."""


def is_drawn(stream: TextIO) -> bool:
    """Whether rich draws on the stream."""
    return _open(stream) is not None


def _open(stream: TextIO) -> Console | None:
    """rich's console on a terminal; None elsewhere, and without rich."""
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return None
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    total: bool = False,
    title: str | None = None,
) -> None:
    """A table on standard output; columns in `right` are aligned to the right, and with `total` the last row is a sum.

    Plain, it has one line a row and neither title nor rules.
    """
    console = _open(sys.stdout)
    if console is None:
        widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
        for row in (headers, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title and Text(title), title_justify="left", title_style="bold")
    for header, *cells in zip(headers, *rows, strict=True):
        names = not any(" " in cell for cell in cells)  # stay whole as long as there is room
        table.add_column(Text(header), justify="right" if header in right else "left", overflow="fold", no_wrap=names)
    for number, row in enumerate(rows):
        last = number == len(rows) - 1
        style = "bold" if total and last else None
        table.add_row(*map(Text, row), style=style, end_section=total and number == len(rows) - 2)
    console.print(table)


def say(line: str) -> None:
    """A line for people, on standard error."""
    print(line, file=sys.stderr, flush=True)


def print_labelled(label: str, text: str, style: str, stream: TextIO) -> None:
    """A line with a label before it, which has the style on a terminal: `ok  import: …`."""
    console = _open(stream)
    text = harmless(text)
    if console is None:
        print(f"{label} {text}", file=stream, flush=True)
        return
    from rich.text import Text

    console.print(Text.assemble((label, style), " ", text), soft_wrap=True)


def print_error(command: str, message: str, _code: str = "") -> None:
    """Why a command failed, on standard error."""
    print_labelled(f"{command}:", message, "bold red", sys.stderr)


def print_stopped() -> None:
    """That a signal ended the command; a terminal gets its cursor back, which a bar may have hidden."""
    print("\x1b[?25hStopped." if sys.stderr.isatty() else "Stopped.", file=sys.stderr)


def confirm(question: str, stop: Stop) -> bool:
    """Whether somebody answers yes. Raises BadRequest where nobody can be asked, and Stopped."""
    if not sys.stdin.isatty():
        raise BadRequest(f"{question} Nobody is there to answer: give --yes, or run it on a terminal.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return stop.run_aside(sys.stdin.readline).strip().lower() in ("y", "yes")


@contextmanager
def show_bytes(name: str) -> Iterator[ShowBytes]:
    """A bar of a download for as long as it takes; plain, a line for each tenth."""
    console = _open(sys.stderr)
    if console is None:
        yield _print_tenths(name)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:

        def show(done: int, total: int) -> None:
            if not progress.tasks:
                progress.add_task(name, total=total)
            progress.update(progress.task_ids[0], completed=done)

        yield show


def _print_tenths(name: str) -> ShowBytes:
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // total
        if percent // 10 != shown:
            shown = percent // 10
            print(f"{name}: {percent:3d} % of {total / 1e6:.1f} MB", file=sys.stderr, flush=True)

    return show


@contextmanager
def show_items() -> Iterator[ShowItem]:
    """A bar of items, with what failed above it; plain, a line for each."""
    console = _open(sys.stderr)
    if console is None:
        yield lambda number, total, line, failed: print(f"{number}/{total} {line}", file=sys.stderr)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    columns = (
        BarColumn(table_column=Column(min_width=40)),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=7)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)

        def show(number: int, total: int, line: str, failed: bool) -> None:
            if failed:
                progress.print(Text(f"{number}/{total} {line}", style="red"), soft_wrap=True)
                progress.update(task, advance=1, total=total)
            else:
                progress.update(task, advance=1, total=total, description=line)

        yield show


@contextmanager
def show_lines(title: str) -> Iterator[ShowLine]:
    """The last line of a long work behind a spinner; plain, all of them."""
    console = _open(sys.stderr)
    if console is None:
        yield lambda line: print(line, file=sys.stderr)
        return
    from rich.text import Text

    with console.status(Text(title)) as status:

        def show(line: str) -> None:
            text = Text.assemble((title, "bold"), "  ", " ".join(line.split()))
            text.truncate(console.width - 4, overflow="ellipsis")
            status.update(text)

        yield show


def show_starting(endpoint: Endpoint, reason: str) -> None:
    """What an endpoint that starts is waiting for; empty is ready."""
    print_labelled(f"{endpoint.name}:", reason or "ready.", "bold" if reason else "bold green", sys.stderr)


def show_logs(level: int) -> Callable[[str, LogLine], None]:
    """Shows, under a server's name, what a handler prints itself, and what is logged at `level` or above."""
    from logging import ERROR

    def show(name: str, line: LogLine) -> None:
        if line.level is not None and line.level < level:
            return
        console = _open(sys.stderr)
        text = textwrap.indent(line.text, f"{name} | ")
        if console is None:
            print(text, file=sys.stderr)
        else:
            console.print(text, style="red" if (line.level or 0) >= ERROR else "dim", soft_wrap=True)

    return show
