"""All modes side by side, the cheapest first, with why some cannot run and where they break even.

With --features: several features on one instance (a multi-model endpoint) beside an endpoint for each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from pixelserve_deploy import console
from pixelserve_deploy.cost import (
    Basis,
    BreakEven,
    Column,
    Option,
    Workload,
    WorkloadError,
    bills,
    build_assumptions_section,
    build_question,
    compare,
    find_break_evens,
    format_grouped,
    format_plain,
    list_assumptions,
    share_instances,
    views,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import (
    add_report,
    add_workload,
    naming_options,
    read_question,
    read_workload,
    tell_prices,
    write_report,
)
from pixelserve_deploy.reports import Report, Section, Table

EXAMPLES = """\
  pixelserve cost compare --model human-image-segmentation --seconds 1
  pixelserve cost compare --requests 200k --cpu-seconds 9 --codec jpeg --link
  pixelserve cost compare --model image-similarity --seconds 1 --format json
  pixelserve cost compare --features image-super-resolution,image-similarity --seconds 0.2 --requests 100k
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", metavar="A,B,C", help="price these on one instance, each with the job below")
    add_workload(parser)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.features:
        write_report(_share(arguments), arguments)
        return 0
    workload, question = read_question(arguments)
    options = compare(question)
    question.require_prices_used([option.bill for option in options if option.bill])
    found = find_break_evens(question, options)
    table = views.build_comparison_table(options)
    title = f"{arguments.model.replace('_', '-')} in {arguments.region}, prices {question.book.id}"
    bases = {option.mode: Basis(workload, question, option.bill.profile) for option in options if option.bill}
    said = list_assumptions(bases, question, arguments.words)
    sections = [Section(title, table, views.list_refusals(options, arguments.region)), build_assumptions_section(said)]
    if found:
        sections.append(views.build_break_even_section(question, options, found))
    data = {
        "currency": question.book.currency,
        "policy": question.policy.name,
        "modes": [_mode(option) for option in options],
        "break_even": [_point(point) for point in found],
        "assumptions": said,
    }
    write_report(Report("Modes compared", tuple(sections), data, _flat(options)), arguments)
    missing = sorted({name for option in options for name in option.missing})
    if missing:
        console.print_error("No price is known", tell_prices(missing))
    return 1 if missing else 0


def _share(arguments: argparse.Namespace) -> Report:
    """The features on one instance beside an endpoint each."""
    words = (name.strip().replace("_", "-") for name in arguments.features.split(","))
    names = list(dict.fromkeys(filter(None, words)))
    if len(names) < 2:
        raise UsageError("--features: name two or more, separated by commas")
    if arguments.model != Workload.model:
        raise UsageError("--features or --model, not both")
    workload = read_workload(arguments)
    with naming_options():
        workload.require_heeded("realtime")
        if workload.instances is not None:
            raise WorkloadError("{} changes nothing of --features: it is as many as the load needs", "instances")
        workloads = {name: replace(workload, model=name) for name in names}
        questions = {name: build_question(asked) for name, asked in workloads.items()}
    sharing = share_instances(questions)
    bases = {name: Basis(workloads[name], questions[name], bill.profile) for name, bill in sharing.apart.bills.items()}
    said = list_assumptions(bases, questions[names[0]], arguments.words)
    title = f"{len(names)} features in {arguments.region}, {format_grouped(workload.requests)} requests a month each"
    rows = tuple(
        (name, bill.currency, format_plain(bill.total), format_plain(sharing.together.bills[name].total))
        for name, bill in sharing.apart.bills.items()
    )
    table = Table(("feature", "currency", "apart", "together"), rows)
    columns = (sharing.apart, sharing.together)
    paid = ("in all", rows[0][1], *(format_plain(column.total) for column in columns))
    data = {
        "instances": sharing.instances,
        "features": [dict(zip(table.headers, row, strict=True)) for row in rows],
        "in_all": {"apart": _column(sharing.apart), "together": _column(sharing.together)},
        "assumptions": said,
    }
    sections = (views.build_sharing_section(title, sharing), build_assumptions_section(said))
    return Report("Features on one instance", sections, data, Table(table.headers, (*rows, paid)))


def _column(column: Column) -> dict[str, object]:
    """What an account pays, with tiers and what is free once; `alone` is the sum of the features' bills."""
    marked = sorted({line.key for line in column.lines if line.marked})
    return {"total": format_plain(column.total), "alone": format_plain(column.alone), "marked_prices": marked}


def _flat(options: Sequence[Option]) -> Table:
    """The CSV: plain figures, and the reasons beside the modes that cannot run."""
    headers = ("mode", "currency", "total", "marked", "notes")
    rows = []
    for option in options:
        bill = option.bill
        figures = (bill.currency, format_plain(bill.total), " ".join(bill.marked)) if bill else ("", "", "")
        notes = [*option.reasons, *([option.remark] if option.remark else [])]
        rows.append((option.mode, *figures, "; ".join(notes)))
    return Table(headers, tuple(rows))


def _mode(option: Option) -> dict[str, object]:
    bill = bills.build_estimate_data(option.bill, explain=False) if option.bill else None
    return {"mode": option.mode, "possible": option.bill is not None, "reasons": list(option.reasons),
            "missing_prices": list(option.missing), "remark": option.remark, "bill": bill}  # fmt: skip


def _point(point: BreakEven) -> dict[str, str]:
    volumes = {"machines": point.compute, "whole_bill": point.whole}
    return {
        "mode": point.mode,
        **{name: views.NEVER if value is None else format_plain(value) for name, value in volumes.items()},
    }
