"""How much a total moves when one thing is lower or higher and the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.amounts import format_grouped
from pixelserve_deploy.cost.engine import Estimate
from pixelserve_deploy.cost.profile import MONTH_HOURS, UsageProfile

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
    """The totals with less and with more of it."""

    what: str
    low: Decimal
    high: Decimal
    remark: str | None = None
    """Why it has no effect, or jumps."""

    @property
    def span(self) -> Decimal:
        """How far the ends are apart."""
        return abs(self.high - self.low)


def measure_effects(base: UsageProfile, bill: Callable[[UsageProfile], Estimate], swing: Decimal) -> list[Effect]:
    """Each of `VARIED` and `PRICES` lower and higher by the part `swing`, what moves the total most first.

    `bill` prices a profile, its hours worked out anew.
    """
    found = []
    whole = bill(base)
    for field, what in VARIED.items():
        ends = [bill(replace(base, **{field: getattr(base, field) * factor})) for factor in (1 - swing, 1 + swing)]
        found.append(Effect(what, ends[0].total, ends[1].total, _explain(what, whole, ends)))
    for line in whole.lines:
        if line.key in PRICES:
            found.append(Effect(PRICES[line.key], whole.total - swing * line.amount, whole.total + swing * line.amount))
    return sorted(found, key=lambda effect: -effect.span)


def _explain(what: str, whole: Estimate, ends: Sequence[Estimate]) -> str | None:
    """Why a bar is empty, or one-sided because another number of instances is needed."""
    hours = [bill.profile.hours for bill in (ends[0], whole, ends[1])]
    if whole.profile.mode == "realtime" and len(set(hours)) > 1:
        low, _, high = (format_grouped(hour / MONTH_HOURS) for hour in hours if hour is not None)
        return f"{what.capitalize()}: the bar jumps, since the load needs {low} to {high} instances."
    if all(bill.total == whole.total for bill in ends):
        same = "the same instances serve it" if whole.profile.mode == "realtime" else "no line of the bill counts it"
        return f"{what.capitalize()}: no bar, since {same}."
    return None
