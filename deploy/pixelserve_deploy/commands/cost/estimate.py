"""The bill of one job in one mode, for a month and for a million images.

As HTML it has charts of the lines, the break-even, the sensitivity and a simulated week.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from decimal import Decimal

from pixelserve_deploy.cost import (
    INSTANCE,
    MODES,
    MONTH_HOURS,
    Basis,
    Estimate,
    Fleet,
    Measurement,
    Question,
    Workload,
    bills,
    build_assumptions_section,
    cite_answer_sizes,
    cite_measurement,
    compare,
    describe_change,
    find_break_evens,
    find_measured_row,
    find_model,
    format_plain,
    list_assumptions,
    list_lever_assumptions,
    load_cases,
    make_diurnal,
    measure_effects,
    price_period,
    pull_levers,
    simulate,
    views,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_report, add_workload, name_option, parse_part, read_question, write_report
from pixelserve_deploy.reports import Report, Section, Table

EXAMPLES = """\
  pixelserve cost estimate --requests 1M --codec webp
  pixelserve cost estimate --model human-image-segmentation --mode lambda --region cn-northwest-1
  pixelserve cost estimate --mode async --seconds 0.4 --explain
  pixelserve cost estimate --measured benchmarks/results/pipeline.json --megapixels 0.25 --latency 3 \\
    --instance ml.c6i.xlarge
  pixelserve cost estimate --what-if
  pixelserve cost estimate -o bill.html
"""
WEEK = 7
WEEK_MONTHS = Decimal(WEEK * 24) / MONTH_HOURS
SWING = Decimal("0.2")
OF_WHAT_IF = frozenset({
    "what_if", "format", "output", "explain", "book", "utilisation", "instances", "starts_a_day", "measured", "latency",
    "percentile", "instance", "prices",
})  # fmt: skip
"""The options that --what-if heeds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, default="realtime", help="default realtime")
    add_workload(parser)
    parser.add_argument("--swing", type=parse_part, metavar="PART",
                        help="of the sensitivity (default 20%%)")  # fmt: skip
    parser.add_argument("--explain", action="store_true", help="formula, rounding and source of each line")
    parser.add_argument("--what-if", action="store_true",
                        help="the documents' job in place of yours, with each lever pulled")  # fmt: skip
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.swing is not None and not 0 < arguments.swing <= 1:
        raise UsageError("--swing is above 0 and at most 100%")
    if arguments.what_if:
        _refuse_idle_options(arguments)
    make_report = _pull_levers if arguments.what_if else _estimate
    report = make_report(arguments, *read_question(arguments, None if arguments.what_if else arguments.mode))
    write_report(report, arguments)
    return 0


def _estimate(arguments: argparse.Namespace, workload: Workload, question: Question) -> Report:
    profile = question.require_mode(arguments.mode)
    name = f"{arguments.model.replace('_', '-')}, {MODES[arguments.mode].title}, {arguments.region}"
    bill = question.price(profile, name)
    question.require_prices_used([bill])
    swing = arguments.swing or SWING
    found = measure_effects(question, arguments.mode, swing)
    section = bills.build_estimate_section(bill, arguments.explain)
    notes = [f"{changed}."] if (changed := describe_change(question.profile, bill.profile)) else []
    if note := cite_measurement(workload, question.profile.request_bytes):
        notes.append(note)
    if arguments.explain:
        notes.append(f"Sizes and seconds that are not given: {find_model(arguments.model).source}.")
    section = replace(section, notes=(*section.notes, *notes))
    said = list_assumptions({arguments.mode: Basis(workload, question, profile)}, question, arguments.words)
    sections = [
        section,
        build_assumptions_section(said),
        views.build_sensitivity_section(bill.total, found, swing, bill.currency),
    ]
    if MODES[arguments.mode].machine == INSTANCE:
        sections += _find_break_even(question)
    if arguments.mode in ("realtime", "autoscaled"):
        sections.append(_simulate_week(question, bill))
    data = bills.build_estimate_data(bill, arguments.explain) | {
        "sensitivity": [views.describe_effect(effect) for effect in found],
        "assumptions": said,
    }
    return Report(
        "Cost estimate", tuple(sections), [data], Table(bills.BILL_COLUMNS, tuple(bills.flatten_bill(data, bill)))
    )


def _find_break_even(question: Question) -> list[Section]:
    options = compare(question)
    found = find_break_evens(question, options)
    return [views.build_break_even_section(question, options, found)] if found else []


def _simulate_week(question: Question, bill: Estimate) -> Section:
    """A week of the same volume as days and nights, through an endpoint that may grow as far as its peak needs."""
    profile = bill.profile
    requests = int(profile.requests * WEEK_MONTHS)
    trace = make_diurnal(requests, WEEK)
    least = question.scaling.instances or 1
    fleet = Fleet(
        float(profile.seconds), profile.concurrency, least, most=least, utilisation=float(question.scaling.utilisation)
    ).reaching(max(trace))
    outcome = simulate(trace, fleet)
    cost = price_period(question, "autoscaled", outcome)
    notes = [
        f"Late after {fleet.late_after:g} s, failed after {fleet.time_out:g} s of waiting. `pixelserve cost "
        f"simulate --generate diurnal --days {WEEK} --requests {requests} --min {least} --max {fleet.most}` with the "
        "job's other options says the same, and takes other limits."
    ]
    return views.build_simulation_section("A week, autoscaled", trace, outcome, cost, notes)


def _refuse_idle_options(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options that would change nothing."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = {name for name, value in vars(parser.parse_args([])).items() if getattr(arguments, name) != value}
    unmeasured = {"instance"} if arguments.measured is None else set()
    idle = given - (OF_WHAT_IF - unmeasured)
    if idle:
        names = ", ".join(map(name_option, sorted(idle)))
        raise UsageError(
            f"--what-if is about the documents' job and does not heed {names}"
            f"{' without --measured' if idle == {'instance'} else ''}: leave it out, or leave out --what-if"
        )


def _pull_levers(arguments: argparse.Namespace, workload: Workload, question: Question) -> Report:
    job = load_cases()[0]
    row = find_measured_row(workload, job.profile.request_bytes)
    measured, notes = None, [f"Sizes of JPEG and WebP answers: {cite_answer_sizes()}."]
    if row is not None:
        measured = Measurement(question.profile.instance, row.seconds)
    if note := cite_measurement(workload, job.profile.request_bytes):
        notes.append(note)
    found = pull_levers(job, question.book, question.scaling, measured)
    question.require_prices_used([lever.bill for lever in found])
    said = list_lever_assumptions(job, question, arguments.words)
    sections = (views.build_levers_section(found, tuple(notes)), build_assumptions_section(said))
    data = [
        bills.build_estimate_data(lever.bill, arguments.explain) | {"id": lever.what, "assumptions": said}
        for lever in found
    ]
    flat = [
        (lever.what, lever.bill.currency, format_plain(lever.bill.total), " ".join(lever.bill.marked))
        for lever in found
    ]
    return Report("What if", sections, data, Table(("id", "currency", "total", "marked"), tuple(flat)))
