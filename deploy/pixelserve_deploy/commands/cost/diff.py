"""What changed between two bills of JSON; with --fail-above, exit code 1 when a total rose by more."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pixelserve_deploy.cost import (
    Bill,
    CostError,
    Difference,
    compare_bills,
    format_money,
    format_plain,
    read_bills,
    round_half_up,
)
from pixelserve_deploy.options import add_report, parse_part, write_report
from pixelserve_deploy.reports import Report, Section, Table

EXAMPLES = """\
  pixelserve cost estimate --format json -o before.json
  pixelserve cost estimate --codec webp --format json -o after.json
  pixelserve cost diff before.json after.json --fail-above 10%
"""
HEADERS = ("Line", "Before", "After", "Change", "Part", "Price is")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="A", help="JSON of `estimate` or `table`")
    parser.add_argument("after", type=Path, metavar="B", help="the same, later")
    parser.add_argument("--fail-above", type=parse_part, metavar="PART", help="e.g. 10%%: a total may rise by so much")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    pairs = _pair(read_bills(arguments.before), read_bills(arguments.after))
    sections, data, flat, risen = [], [], [], []
    for before, after in pairs:
        lines, total = compare_bills(before, after)
        table = Table(
            HEADERS, tuple(_row(line, before, after) for line in [*lines, total]), frozenset(HEADERS[1:5]), total=True
        )
        title = before.id if before.id == after.id else f"{before.id} -> {after.id}"
        sections.append(Section(title, table))
        data.append({"before": before.id, "after": after.id, "currency": before.currency,
                     "lines": [_fields(line) for line in lines], "total": _fields(total)})  # fmt: skip
        flat += [(title, *row) for row in table.rows]
        if arguments.fail_above is not None and total.exceeds(arguments.fail_above):
            risen.append(title)
    report = Report("Difference of bills", tuple(sections), data, Table(("Bill", *HEADERS), tuple(flat)))
    write_report(report, arguments)
    for title in risen:
        print(f"{title}: the total rose by more than {format_plain(100 * arguments.fail_above)} %.", file=sys.stderr)
    return 1 if risen else 0


def _pair(before: list[Bill], after: list[Bill]) -> list[tuple[Bill, Bill]]:
    """Bills of one id; the two alone in their files also when they are not."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    by_id = {bill.id: bill for bill in after}
    if {bill.id for bill in before} != set(by_id):
        raise CostError("The files have different bills. Write both with the same tables, or one bill each.")
    return [(bill, by_id[bill.id]) for bill in before]


def _row(line: Difference, before: Bill, after: Bill) -> tuple[str, ...]:
    amounts = (line.before, line.after, line.after - line.before)
    status = after.marked.get(line.name) or before.marked.get(line.name)
    rise = "-" if line.part is None else f"{round_half_up(100 * line.part, 1):+f} %"
    return (
        line.name,
        *(format_money(amount, after.currency) for amount in amounts),
        rise,
        f"! {status}" if status else "",
    )


def _fields(line: Difference) -> dict[str, str]:
    return {"name": line.name, "before": format_plain(line.before), "after": format_plain(line.after)}
