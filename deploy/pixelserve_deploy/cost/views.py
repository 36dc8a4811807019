"""Analyses as sections of a report: comparison, break-even, sensitivity, levers, simulation, benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pixelserve_deploy.cost.amounts import (
    format_grouped,
    format_measure,
    format_money,
    format_percent,
    format_plain,
    format_short,
    round_half_up,
)
from pixelserve_deploy.cost.bills import list_allowances
from pixelserve_deploy.cost.comparison import BreakEven, Option, count_capacity, price_whole
from pixelserve_deploy.cost.engine import Estimate
from pixelserve_deploy.cost.levers import Lever
from pixelserve_deploy.cost.measured import Benchmark, Price1000
from pixelserve_deploy.cost.modes import MODES
from pixelserve_deploy.cost.profile import MONTH_HOURS
from pixelserve_deploy.cost.question import Question
from pixelserve_deploy.cost.sensitivity import Effect
from pixelserve_deploy.cost.sharing import Sharing
from pixelserve_deploy.cost.simulation import SimulationResult
from pixelserve_deploy.reports import (
    Curve,
    Panel,
    Section,
    Swing,
    Table,
    draw_curves,
    draw_timeline,
    draw_tornado,
    format_count,
)

CURVE_STEPS = 32
EXACT_PLACES = 10
"""Sums that differ in later ones are the same, added in another order."""
COMPARISON_COLUMNS = ("Mode", "A month", "A million", "Marked prices", "Notes")
NEVER, IMPOSSIBLE = "never", "not possible"


def build_comparison_table(options: Sequence[Option]) -> Table:
    """The modes, cheapest first; `list_refusals` tells why some cannot run."""
    rows = []
    for option in options:
        bill = option.bill
        if bill is None:
            rows.append((MODES[option.mode].title, "-", "-", "", "no price known" if option.missing else IMPOSSIBLE))
            continue
        million = bill.per_million
        rows.append(
            (
                MODES[option.mode].title,
                format_money(bill.total, bill.currency),
                format_money(million, bill.currency) if million is not None else "-",
                "! " + ", ".join(bill.marked) if bill.marked else "",
                _note(bill, option),
            )
        )
    return Table(COMPARISON_COLUMNS, tuple(rows), frozenset(COMPARISON_COLUMNS[1:3]))


def list_refusals(options: Sequence[Option], region: str) -> tuple[str, ...]:
    """Why some modes cannot run, or cannot be priced in the region."""
    found = []
    for option in options:
        title = MODES[option.mode].title
        if option.missing:
            found.append(f"{title}: no price of {', '.join(option.missing)} in {region}.")
        elif option.bill is None:
            named = (reason if reason.startswith(title) else f"{title}: {reason}" for reason in option.reasons)
            found += [f"{reason.rstrip('.')}." for reason in named]
    return tuple(found)


def _note(bill: Estimate, option: Option) -> str:
    hours = bill.profile.hours
    words = [f"{format_short(hours)} h {bill.profile.instance}"] if hours is not None else []
    if hours is None:
        words.append(f"{bill.profile.memory_mb} MB, {format_measure(bill.profile.seconds)} s")
    return "; ".join([*words, *([option.remark] if option.remark else [])])


def build_break_even_section(question: Question, options: Sequence[Option], found: Sequence[BreakEven]) -> Section:
    """The volumes at which instances that are always on cost no more than a mode."""
    fixed = question.limit_instances()
    instances, driven = fixed.scaling.instances, format_percent(fixed.scaling.utilisation)
    machines = f"{instances} x {question.profile.instance}"
    rows = tuple((MODES[point.mode].title, _volume(point.compute), _volume(point.whole)) for point in found)
    headers = ("Mode", "Machines alone", "Whole bill")
    notes = (
        f"Below so many requests a month a mode costs less than {machines}, always on.",
        f"Driven at {driven} they serve {format_grouped(round_half_up(count_capacity(fixed), 0))} requests a month; "
        "'never' means that they would have to serve more.",
    )
    return Section(
        f"Break-even with {machines}, always on",
        Table(headers, rows, frozenset(headers[1:])),
        notes,
        lambda: _draw_break_even(question, options, found),
    )


def _volume(point: Decimal | None) -> str:
    return NEVER if point is None else format_grouped(point)


def _draw_break_even(question: Question, options: Sequence[Option], found: Sequence[BreakEven]) -> str:
    question = question.limit_instances()
    capacity = int(count_capacity(question))
    currency = question.book.currency
    items = []
    for option in options:
        if option.bill is not None and option.mode != "autoscaled":
            cost = price_whole(question, option.mode)
            steps = [capacity * number // CURVE_STEPS for number in range(CURVE_STEPS + 1)]
            points = [(float(step), float(cost(Decimal(step)))) for step in steps]
            items.append(Curve(MODES[option.mode].title, points, dashed=option.mode != "realtime"))
    always = price_whole(question, "realtime")
    marks = [
        (float(point.whole), float(always(point.whole)), format_count(float(point.whole)))
        for point in found
        if point.whole is not None
    ]
    return draw_curves(
        items,
        "requests a month",
        f"{currency} a month",
        lambda value: format_money(Decimal(round(value)), currency)[:-3],
        marks,
    )


def build_sharing_section(title: str, sharing: Sharing) -> Section:
    """What the features cost with an endpoint each, and on the instances that they share."""
    headers = ("Feature", "An endpoint each", "One multi-model endpoint")
    columns = (sharing.apart, sharing.together)
    first = next(iter(sharing.apart.bills.values()))
    profile, currency = first.profile, first.currency
    amounts = {name: [column.bills[name].total for column in columns] for name in sharing.apart.bills}
    less = [round_half_up(column.total - column.alone, EXACT_PLACES) for column in columns]
    if any(less):
        amounts["Tiers, free tier and rounding, once"] = less
    amounts["In all"] = [column.total for column in columns]
    marked = sorted({line.key for column in columns for line in column.lines if line.marked})
    notes = (
        *((f"! Derived or unverified prices: {', '.join(marked)}.",) if marked else ()),
        *list_allowances(sharing.together.lines),
        f"{sharing.instances} x {profile.instance} for all of them, always on; "
        f"{format_grouped(sum(bill.profile.hours or 0 for bill in sharing.apart.bills.values()) / MONTH_HOURS)} apart.",
        "SageMaker loads a model when it is first asked for, and all must fit into the memory together.",
        "A multi-model endpoint does not scale, and is called with TargetModel.",
        "With a GPU, AWS supports it with its NVIDIA Triton container only, by its guide: ours was not seen there.",
    )
    rows = tuple((name, *(format_money(amount, currency) for amount in pair)) for name, pair in amounts.items())
    return Section(title, Table(headers, rows, frozenset(headers[1:]), total=True), notes)


def build_sensitivity_section(base: Decimal, effects: Sequence[Effect], swing: Decimal, currency: str) -> Section:
    """What moves the total, the most first."""
    percent = format_percent(swing)
    headers = ("What", f"{percent} less", f"{percent} more")
    rows, swings = [], []
    for effect in effects:
        ends = (effect.low, effect.high)
        low, high = (float(base if end is None else end) for end in ends)
        texts = [IMPOSSIBLE if end is None else format_money(end, currency) for end in ends]
        rows.append((effect.what, *texts))
        swings.append(Swing(effect.what, low, high, *texts))
    return Section(
        f"Sensitivity: the total when one thing is {percent} less or more",
        Table(headers, tuple(rows), frozenset(headers[1:])),
        tuple(effect.remark for effect in effects if effect.remark),
        lambda: draw_tornado(swings, float(base), format_money(base, currency)),
    )


def describe_effect(effect: Effect) -> dict[str, str | None]:
    """The JSON of one; null is not possible."""
    ends = {"low": effect.low, "high": effect.high}
    return {"what": effect.what, **{name: None if end is None else format_plain(end) for name, end in ends.items()}}


def build_levers_section(levers: Sequence[Lever], notes: tuple[str, ...]) -> Section:
    """What remains of the first bill."""
    first = levers[0].bill
    headers = ("The same job", "A month", f"Of {format_money(first.total, first.currency)}", "Marked prices")
    rows = tuple(
        (
            lever.what,
            format_money(lever.bill.total, lever.bill.currency),
            f"{round_half_up(100 * lever.bill.total / first.total, 1)} %",
            "! " + ", ".join(lever.bill.marked) if lever.bill.marked else "",
        )
        for lever in levers
    )
    return Section("What each lever leaves of the bill", Table(headers, rows, frozenset(headers[1:3])), notes)


def build_simulation_section(
    title: str, trace: Sequence[int], outcome: SimulationResult, bill: Estimate, notes: Sequence[str] = ()
) -> Section:
    """What became of the traffic, and what it cost."""
    minutes = len(outcome.billed)
    offered = max(outcome.offered, 1)
    parts = {"In time": outcome.served, "Late": outcome.late, "Failed": outcome.failed}
    rows = [(name, f"{number:,}", f"{100 * number / offered:.2f} %") for name, number in parts.items()]
    rows += [
        ("Offered", f"{outcome.offered:,}", ""),
        ("Instance hours billed", f"{outcome.instance_hours:,.1f}", ""),
        ("Utilisation of ready instances", "", f"{100 * outcome.utilisation:.1f} %"),
        ("Cost of the period", format_money(bill.total, bill.currency), ""),
    ]
    headers = ("Requests", "Number", "Part")
    hours = minutes / 60
    panels = [
        Panel("requests a minute", trace, 0),
        Panel("instances billed", outcome.billed, 2),
        Panel("requests waiting at the minute's end", outcome.waiting, 1),
    ]
    return Section(
        f"{title}: {hours:,.0f} h by the minute",
        Table(headers, tuple(rows), frozenset(headers[1:])),
        tuple(notes),
        lambda: draw_timeline(panels, "hours", hours),
    )


def build_benchmark_section(
    benchmark: Benchmark, prices: Sequence[Price1000], currency: str, instance: str, status: str, notes: tuple[str, ...]
) -> Section:
    """A thousand images at each load that meets the target, the fastest first."""
    headers = ("Load", "Images/s", "p50 s", "p99 s", "A thousand images", "95 % interval", "Price is")
    rows = tuple(
        (
            price.row.label,
            format_measure(price.row.rate),
            format_measure(price.row.times["p50"]),
            format_measure(price.row.times["p99"]),
            format_money(price.amount, currency, 4),
            f"{format_money(price.low, currency, 4)} to {format_money(price.high, currency, 4)}",
            status,
        )
        for price in prices
    )
    title = f"{benchmark.name} of {benchmark.date}, measured on {benchmark.machine}, priced as {instance}"
    return Section(title, Table(headers, rows, frozenset(headers[1:6])), notes)
