"""Traffic through an autoscaled endpoint, minute by minute: what it costs, and which requests are late or fail."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pixelserve_deploy.cost import (
    MOST_DAYS,
    Basis,
    Fleet,
    Question,
    Trace,
    Workload,
    advise,
    bills,
    build_assumptions_section,
    format_plain,
    list_assumptions,
    make_bursty,
    make_diurnal,
    price_period,
    read_trace,
    simulate,
    views,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_report, add_simulated_workload, read_question, write_report
from pixelserve_deploy.reports import Report, Table

EXAMPLES = """\
  pixelserve cost simulate --trace requests.csv --seconds 0.4
  pixelserve cost simulate --generate diurnal --requests 1M --max 4
  pixelserve cost simulate --generate bursty --mode async --late-after 300
"""
GENERATED: dict[str, Callable[[int, int], Trace]] = {"diurnal": make_diurnal, "bursty": make_bursty}
OF_GENERATED = {"days": 30, "requests": Workload.requests}
"""Options of a generated trace, and what they are by default."""
PATIENCE = {
    "autoscaled": {"late_after": 10.0, "time_out": 60.0},
    "async": {"late_after": 900.0, "time_out": 3600.0},
}
"""Seconds that callers wait, by mode."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    traffic = parser.add_argument_group("the traffic")
    traffic.add_argument("--trace", type=Path, metavar="CSV",
                         help="columns minute or timestamp, and requests (default: a row is one request)")  # fmt: skip
    traffic.add_argument("--generate", choices=GENERATED, help="a trace of --requests over --days instead")
    traffic.add_argument("--days", type=int, default=30, help="of a generated trace (default 30)")
    parser.add_argument("--mode", choices=PATIENCE, default="autoscaled", help="default autoscaled")
    add_simulated_workload(parser, "with --generate: of the whole trace (default 1M)")
    scaling = parser.add_argument_group("the scaling; times in seconds")
    scaling.add_argument("--min", type=int, help="instances at least (default 1; 0 with --mode async)")
    scaling.add_argument("--max", type=int, default=10, help="instances at most (default 10)")
    for name, default, about in (
        ("--cold-start", 300, "from the order of an instance until it works"),
        ("--cool-out", 60, "between two scale-outs"),
        ("--cool-in", 600, "without need before a scale-in"),
    ):
        scaling.add_argument(name, type=float, default=default, metavar="S", help=f"{about} (default {default})")
    for name, about in (("late_after", "an answer later than this is late"), ("time_out", "who waits longer fails")):
        live, queued = PATIENCE["autoscaled"][name], PATIENCE["async"][name]
        scaling.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            metavar="S",
            help=f"{about} (default {live:g}; with --mode async {queued:g})",
        )
    parser.add_argument("--explain", action="store_true", help="formula, rounding and source of each line")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    trace = _choose_trace(arguments)
    workload, question = read_question(arguments, arguments.mode)
    fleet = _build_fleet(arguments, question)
    outcome = simulate(trace, fleet)
    bill = price_period(question, arguments.mode, outcome)
    question.require_prices_used([bill])
    parts = bills.build_estimate_section(bill, arguments.explain)
    advice = advise(trace, fleet, outcome)
    section = views.build_simulation_section(f"Simulated, {arguments.mode}", trace, outcome, bill, advice)
    basis = Basis(workload, question, bill.profile)
    said = list_assumptions({arguments.mode: basis}, question, arguments.words, fleet)
    data = {
        "minutes": len(outcome.billed),
        "offered": outcome.offered,
        "served_in_time": outcome.served,
        "late": outcome.late,
        "failed": outcome.failed,
        "instance_hours": round(outcome.instance_hours, 2),
        "utilisation": round(outcome.utilisation, 4),
        "currency": bill.currency,
        "total": format_plain(bill.total),
        "marked_prices": bill.marked,
        "advice": advice,
        "bill": bills.build_estimate_data(bill, arguments.explain),
        "assumptions": said,
    }
    flat = Table(
        ("figure", "value"), tuple((key, _cell(value)) for key, value in data.items() if not isinstance(value, dict))
    )
    write_report(Report("Simulated traffic", (section, parts, build_assumptions_section(said)), data, flat), arguments)
    return 0


def _cell(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def _choose_trace(arguments: argparse.Namespace) -> Trace:
    if (arguments.trace is None) == (arguments.generate is None):
        raise UsageError("give --trace CSV, or --generate diurnal or bursty")
    if arguments.trace is not None:
        idle = [f"--{name}" for name in OF_GENERATED if getattr(arguments, name) != OF_GENERATED[name]]
        if idle:
            raise UsageError(f"{', '.join(idle)}: the trace says it already; leave it out, or --trace")
        return read_trace(arguments.trace)
    if not 1 <= arguments.days <= MOST_DAYS:
        raise UsageError(f"--days is 1 to {MOST_DAYS}")
    return GENERATED[arguments.generate](int(arguments.requests), arguments.days)


def _build_fleet(arguments: argparse.Namespace, question: Question) -> Fleet:
    profile = question.require_mode(arguments.mode)
    least = arguments.min if arguments.min is not None else int(arguments.mode != "async")
    given = {name: getattr(arguments, name) for name in PATIENCE[arguments.mode]}
    patience = {name: PATIENCE[arguments.mode][name] if value is None else value for name, value in given.items()}
    return Fleet(
        seconds=float(profile.seconds),
        concurrency=profile.concurrency,
        least=least,
        most=arguments.max,
        utilisation=float(question.scaling.utilisation),
        cold_start=arguments.cold_start,
        cool_out=arguments.cool_out,
        cool_in=arguments.cool_in,
        **patience,
    )
