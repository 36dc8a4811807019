"""All modes side by side, cheapest first: the reasons against some, and the volumes at which one overtakes another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from pixelserve_deploy.cost.engine import Estimate
from pixelserve_deploy.cost.errors import CostError, PriceMissing
from pixelserve_deploy.cost.modes import MODES, count_served, describe_change, find_obstacles
from pixelserve_deploy.cost.question import Question

COMPUTE = frozenset({"hosting", "lambda-requests", "lambda-duration", "serverless"})
"""The lines that a machine causes; the others are traffic."""
Cost = Callable[[Decimal], Decimal]


@dataclass(frozen=True)
class Option:
    """A mode with its bill, or without one and why."""

    mode: str
    bill: Estimate | None
    reasons: tuple[str, ...]
    remark: str | None = None
    missing: tuple[str, ...] = ()
    """Names of the prices that are not known, where only they stand against it."""


@dataclass(frozen=True)
class BreakEven:
    """At how many requests a month a mode costs as much as instances that are always on; below it costs less.

    None is never: they would have to serve more than they do at their utilisation. `compute` leaves traffic out.
    """

    mode: str
    whole: Decimal | None
    compute: Decimal | None


def compare(question: Question) -> list[Option]:
    """Every mode; those that can run by their total, then the others."""
    options = [_option(question, mode) for mode in MODES]
    return sorted(options, key=lambda option: option.bill.total if option.bill else Decimal("Inf"))


def _option(question: Question, mode: str) -> Option:
    try:
        profile = question.apply_mode(mode)
        obstacles = tuple(find_obstacles(profile, question.scaling))
        change = describe_change(question.profile, profile)
        return Option(mode, None if obstacles else question.estimate(mode), obstacles, change)
    except PriceMissing as error:
        return Option(mode, None, (error.message,), missing=error.names)
    except CostError as error:
        return Option(mode, None, (error.message,))


def find_break_evens(question: Question, options: list[Option]) -> list[BreakEven]:
    """Against the instances that are given, or one, always on, for the other modes that can run.

    Empty when they cannot.
    """
    if not any(option.mode == "realtime" and option.bill for option in options):
        return []
    fixed = question.limit_instances()
    capacity = count_capacity(fixed)
    modes = [option.mode for option in options if option.bill and option.mode not in ("realtime", "autoscaled")]
    return [
        BreakEven(
            mode,
            find_break_even(price_whole(fixed, "realtime"), price_whole(fixed, mode), capacity),
            find_break_even(price_machines(fixed, "realtime"), price_machines(fixed, mode), capacity),
        )
        for mode in modes
    ]


def count_capacity(fixed: Question) -> Decimal:
    """Requests a month that the question's instances serve when they are driven as it says."""
    return (fixed.scaling.instances or 1) * count_served(fixed.apply_mode("realtime"), fixed.scaling)


def price_whole(question: Question, mode: str) -> Cost:
    """The bill's total by requests."""
    return lambda requests: question.estimate(mode, requests).total


def price_machines(question: Question, mode: str) -> Cost:
    """The machines' part of it by requests."""
    return lambda requests: sum(
        (line.amount for line in question.estimate(mode, requests).lines if line.key in COMPUTE), Decimal(0)
    )


def find_break_even(always: Cost, per_use: Cost, capacity: Decimal) -> Decimal | None:
    """The volume at which both cost the same, to the nearest request; None when it is above `capacity`."""
    low, high = 0, int(capacity)
    if per_use(Decimal(high)) <= always(Decimal(high)):
        return None
    if per_use(Decimal(0)) > always(Decimal(0)):
        return Decimal(0)
    while high - low > 1:
        middle = (low + high) // 2
        if per_use(Decimal(middle)) <= always(Decimal(middle)):
            low = middle
        else:
            high = middle
    spare, excess = (abs(always(Decimal(end)) - per_use(Decimal(end))) for end in (low, high))
    return Decimal(low if spare < excess else high)
