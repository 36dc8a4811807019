"""All modes side by side, the cheapest first, with why some cannot run and where they break even."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pixelserve_deploy.commands import cost_output, cost_profile
from pixelserve_deploy.cost.amounts import plain
from pixelserve_deploy.cost.bills import estimate_data
from pixelserve_deploy.cost.comparison import BreakEven, Option, break_evens, compare
from pixelserve_deploy.cost.report import Report, Section, Table
from pixelserve_deploy.cost.views import NEVER, break_even_section, comparison_table, refusals

EXAMPLES = """\
  pixelserve cost compare --model human-image-segmentation --seconds 1
  pixelserve cost compare --requests 200k --cpu-seconds 9 --codec jpeg --link
  pixelserve cost compare --model image-similarity --seconds 1 --format json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    cost_profile.add_arguments(parser)
    cost_output.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    question = cost_profile.question_of(arguments)
    options = compare(question)
    found = break_evens(question, options)
    table = comparison_table(options)
    title = f"{arguments.model.replace('_', '-')} in {arguments.region}, prices {question.book.id}"
    sections = [Section(title, table, (*refusals(options), *cost_profile.free_notes(question)))]
    if found:
        sections.append(break_even_section(question, options, found))
    data = {
        "currency": question.book.currency,
        "policy": question.policy.name,
        "modes": [_mode(option) for option in options],
        "break_even": [_point(point) for point in found],
    }
    cost_output.write(Report("Modes compared", tuple(sections), data, _flat(options)), arguments)
    return 0


def _flat(options: Sequence[Option]) -> Table:
    """The CSV: plain figures, and the reasons beside the modes that cannot run."""
    headers = ("mode", "currency", "total", "marked", "notes")
    rows = []
    for option in options:
        bill = option.bill
        figures = (bill.currency, plain(bill.total), " ".join(bill.marked)) if bill else ("", "", "")
        notes = [*option.reasons, *([option.remark] if option.remark else [])]
        rows.append((option.mode, *figures, "; ".join(notes)))
    return Table(headers, tuple(rows))


def _mode(option: Option) -> dict[str, object]:
    bill = estimate_data(option.bill, explain=False) if option.bill else None
    return {"mode": option.mode, "possible": option.bill is not None, "reasons": list(option.reasons),
            "remark": option.remark, "bill": bill}  # fmt: skip


def _point(point: BreakEven) -> dict[str, str]:
    volumes = {"machines": point.compute, "whole_bill": point.whole}
    return {"mode": point.mode, **{name: NEVER if value is None else plain(value) for name, value in volumes.items()}}
