"""How much a total moves when one thing is lower or higher and the rest stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.amounts import format_grouped
from pixelserve_deploy.cost.engine import Estimate
from pixelserve_deploy.cost.modes import apply_mode, find_obstacles
from pixelserve_deploy.cost.profile import MONTH_HOURS, UsageProfile
from pixelserve_deploy.cost.question import Question

VARIED = {
    "requests": "requests",
    "seconds": "seconds per image",
    "request_bytes": "size of a request",
    "response_bytes": "size of an answer",
    "log_bytes": "logs per image",
}
PRICES = {
    "hosting": "price of the instance",
    "lambda-duration": "price of Lambda's time",
    "data-transfer-out": "price of traffic out",
}


@dataclass(frozen=True)
class Effect:
    """The totals with less and with more of it; None where it could not run so."""

    what: str
    low: Decimal | None
    high: Decimal | None
    span: Decimal
    """How far the total moves between the ends that can run."""
    remark: str | None = None
    """Why it has no effect, jumps, or cannot run."""


def measure_effects(question: Question, mode: str, swing: Decimal) -> list[Effect]:
    """Each of `VARIED` and `PRICES` lower and higher by the part `swing`, what moves the total most first."""
    base = question.apply_mode(mode)
    whole = question.price(base)
    found = []
    for field, what in VARIED.items():
        ends = [replace(base, **{field: getattr(base, field) * factor}) for factor in (1 - swing, 1 + swing)]
        found.append(_measure(what, question, whole, ends))
    for line in whole.lines:
        if line.key in PRICES:
            change = swing * line.amount
            found.append(Effect(PRICES[line.key], whole.total - change, whole.total + change, 2 * change))
    return sorted(found, key=lambda effect: -effect.span)


def _measure(what: str, question: Question, whole: Estimate, ends: Sequence[UsageProfile]) -> Effect:
    """The effect of one thing, by the profiles with less and with more of it."""
    profiles = [apply_mode(end, whole.profile.mode, question.scaling) for end in ends]
    obstacles = [find_obstacles(profile, question.scaling) for profile in profiles]
    bills = [None if against else question.price(end) for end, against in zip(profiles, obstacles, strict=True)]
    low, high = (None if bill is None else bill.total for bill in bills)
    reached = [whole.total, *(total for total in (low, high) if total is not None)]
    against = [reason for reasons in obstacles for reason in reasons]
    remark = f"{what.capitalize()}: {'; '.join(against)}." if against else _explain(what, whole, [*filter(None, bills)])
    return Effect(what, low, high, max(reached) - min(reached), remark)


def _explain(what: str, whole: Estimate, ends: Sequence[Estimate]) -> str | None:
    """Why a bar is empty, or one-sided because another number of instances is needed; both ends can run."""
    bills = (ends[0], whole, ends[1])
    hours = [bill.profile.hours for bill in bills]
    if whole.profile.mode == "realtime" and len(set(hours)) > 1:
        low, _, high = (format_grouped(hour / MONTH_HOURS) for hour in hours if hour is not None)
        return f"{what.capitalize()}: the bar jumps, since the load needs {low} to {high} instances."
    if all(bill.total == whole.total for bill in bills):
        same = "the same instances serve it" if whole.profile.mode == "realtime" else "no line of the bill counts it"
        return f"{what.capitalize()}: no bar, since {same}."
    return None
