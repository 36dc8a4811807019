"""The bill of one job in one mode, for a month and for a million images.

As HTML it has charts of the lines, the break-even, the sensitivity and a simulated week.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from decimal import Decimal

from pixelserve_deploy.commands import UsageError, cost_output, cost_profile
from pixelserve_deploy.cost.amounts import plain
from pixelserve_deploy.cost.bills import FLAT, estimate_data, estimate_section, flat_rows
from pixelserve_deploy.cost.comparison import Question, break_evens, compare
from pixelserve_deploy.cost.defaults import answers_source, model
from pixelserve_deploy.cost.documented import cases
from pixelserve_deploy.cost.engine import Estimate, estimate
from pixelserve_deploy.cost.levers import Measurement, levers
from pixelserve_deploy.cost.modes import INSTANCE, MODES, placed, remark
from pixelserve_deploy.cost.profile import UsageProfile
from pixelserve_deploy.cost.report import Report, Section, Table
from pixelserve_deploy.cost.sensitivity import effects
from pixelserve_deploy.cost.simulation import Fleet, simulate
from pixelserve_deploy.cost.traces import diurnal
from pixelserve_deploy.cost.views import (
    break_even_section,
    levers_section,
    sensitivity_section,
    simulation_section,
)

EXAMPLES = """\
  pixelserve cost estimate --requests 1M --codec webp
  pixelserve cost estimate --model human-image-segmentation --mode lambda --region cn-northwest-1
  pixelserve cost estimate --mode async --seconds 0.4 --explain
  pixelserve cost estimate --measured benchmarks/results/pipeline.json --megapixels 0.25 --latency 3 \\
    --instance ml.c6i.xlarge
  pixelserve cost estimate --what-if
  pixelserve cost estimate -o bill.html
"""
WEEK = Decimal(7)
MONTH_DAYS = Decimal("30.4375")


OF_WHAT_IF = frozenset({
    "what_if", "format", "output", "explain", "book", "utilisation", "instances", "starts_a_day", "measured", "latency",
    "percentile", "instance",
})  # fmt: skip
"""The options that --what-if heeds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, default="realtime", help="default realtime")
    cost_profile.add_arguments(parser)
    parser.add_argument("--swing", type=cost_profile.part, default=Decimal("0.2"), metavar="PART",
                        help="of the sensitivity (default 20%%)")  # fmt: skip
    parser.add_argument("--explain", action="store_true", help="formula, rounding and source of each line")
    parser.add_argument("--what-if", action="store_true",
                        help="the documents' job in place of yours, with each lever pulled")  # fmt: skip
    cost_output.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.swing <= 1:
        raise UsageError("--swing is above 0 and at most 100%")
    if arguments.what_if:
        _only_what_if(arguments)
    question = cost_profile.question_of(arguments)
    report = _levers(arguments, question) if arguments.what_if else _estimate(arguments, question)
    cost_output.write(report, arguments)
    return 0


def _estimate(arguments: argparse.Namespace, question: Question) -> Report:
    profile = cost_profile.possible(question, arguments.mode)
    name = f"{arguments.model.replace('_', '-')}, {MODES[arguments.mode].title}, {arguments.region}"

    def bill_of(varied: UsageProfile) -> Estimate:
        hours_anew = placed(varied, arguments.mode, question.scaling)
        return estimate(hours_anew, question.book, question.policy, free_tier=question.free_tier, name=name)

    bill = bill_of(profile)
    found = effects(profile, bill_of, arguments.swing)
    section = estimate_section(bill, arguments.explain)
    said = [f"{changed}."] if (changed := remark(question.profile, bill.profile)) else []
    if note := cost_profile.measured_note(arguments, question.profile.request_bytes):
        said.append(note)
    said += cost_profile.free_notes(question)
    if arguments.explain:
        said.append(f"Sizes and seconds that are not given: {model(arguments.model).source}.")
    section = replace(section, notes=(*section.notes, *said))
    sections = [section, sensitivity_section(bill.total, found, arguments.swing, bill.currency)]
    if MODES[arguments.mode].machine == INSTANCE:
        sections += _break_even(question)
    if arguments.mode in ("realtime", "autoscaled"):
        sections.append(_week(question, bill))
    data = estimate_data(bill, arguments.explain)
    return Report("Cost estimate", tuple(sections), [data], Table(FLAT, tuple(flat_rows(data, bill))))


def _break_even(question: Question) -> list[Section]:
    options = compare(question)
    found = break_evens(question, options)
    return [break_even_section(question, options, found)] if found else []


def _week(question: Question, bill: Estimate) -> Section:
    """A week of the same volume as days and nights, through an endpoint that may grow as far as its peak needs."""
    profile = bill.profile
    requests = int(profile.requests * WEEK / MONTH_DAYS)
    trace = diurnal(requests, int(WEEK))
    least = question.scaling.instances or 1
    fleet = Fleet(
        float(profile.seconds), profile.concurrency, least, most=least, utilisation=float(question.scaling.utilisation)
    ).reaching(max(trace))
    outcome = simulate(trace, fleet)
    hours = Decimal(str(outcome.instance_hours))
    week = replace(profile, mode="autoscaled", requests=Decimal(requests), hours=hours, months=WEEK / MONTH_DAYS)
    cost = estimate(week, question.book, question.policy, free_tier=question.free_tier)
    return simulation_section("A week, autoscaled", trace, outcome, cost)


def _only_what_if(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options that would change nothing."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = {name for name, value in vars(parser.parse_args([])).items() if getattr(arguments, name) != value}
    unmeasured = {"instance"} if arguments.measured is None else set()
    idle = given - (OF_WHAT_IF - unmeasured)
    if idle:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(idle))
        raise UsageError(
            f"--what-if is about the documents' job and does not heed {names}"
            f"{' without --measured' if idle == {'instance'} else ''}: leave it out, or leave out --what-if"
        )


def _levers(arguments: argparse.Namespace, question: Question) -> Report:
    job = cases()[0]
    row = cost_profile.measured_row(arguments, job.profile.request_bytes)
    measured, notes = None, [f"Sizes of JPEG and WebP answers: {answers_source()}."]
    if row is not None:
        measured = Measurement(question.profile.instance, row.seconds)
    said = cost_profile.measured_note(arguments, job.profile.request_bytes)
    found = levers(job, question.book, question.scaling, measured)
    section = levers_section(found, tuple(notes + ([said] if said else [])))
    data = [estimate_data(lever.bill, arguments.explain) | {"id": lever.what} for lever in found]
    flat = [(lever.what, lever.bill.currency, plain(lever.bill.total), " ".join(lever.bill.marked)) for lever in found]
    return Report("What if", (section,), data, Table(("id", "currency", "total", "marked"), tuple(flat)))
