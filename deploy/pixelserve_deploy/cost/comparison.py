"""All modes side by side, cheapest first: the reasons against some, and the volumes at which one overtakes another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.engine import Estimate, estimate
from pixelserve_deploy.cost.errors import CostError, PriceMissing
from pixelserve_deploy.cost.modes import INSTANCE, MODES, Scaling, placed, reasons, remark
from pixelserve_deploy.cost.policy import Policy
from pixelserve_deploy.cost.pricebook import PriceBook
from pixelserve_deploy.cost.profile import UsageProfile

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


@dataclass(frozen=True)
class BreakEven:
    """At how many requests a month a mode costs as much as one instance that is always on; below it costs less.

    None is never: the instance would have to serve more than its capacity. `compute` leaves traffic out.
    """

    mode: str
    whole: Decimal | None
    compute: Decimal | None


@dataclass(frozen=True)
class Question:
    """A job to be priced in all modes. The profile's `seconds` are replaced by those of the mode's machine."""

    profile: UsageProfile
    seconds: Mapping[str, Decimal | None]
    """By `modes.INSTANCE` and `modes.MEMORY`; None is unknown."""
    book: PriceBook
    policy: Policy
    scaling: Scaling
    free_tier: bool = False

    def of_one_instance(self) -> Question:
        """The same with one instance that is always on, however many requests there are."""
        return replace(self, scaling=replace(self.scaling, instances=1))

    def bill(self, mode: str, requests: Decimal | None = None) -> Estimate:
        """The bill of a mode. Raises CostError without its seconds, PriceMissing without a price."""
        return estimate(self.placed(mode, requests), self.book, self.policy, free_tier=self.free_tier, name=mode)

    def placed(self, mode: str, requests: Decimal | None = None) -> UsageProfile:
        """The profile in a mode, for other requests if given. Raises CostError without the mode's seconds."""
        seconds = self.seconds[MODES[mode].machine]
        if seconds is None:
            if MODES[mode].machine == INSTANCE:
                raise CostError(f"how long a request takes on {self.profile.instance} is not known: give --seconds")
            raise CostError("it has no GPU, and how long a request takes on its CPU is not known: give --cpu-seconds")
        profile = replace(self.profile, seconds=seconds)
        return placed(profile if requests is None else replace(profile, requests=requests), mode, self.scaling)


def compare(question: Question) -> list[Option]:
    """Every mode; those that can run by their total, then the others."""
    options = [_option(question, mode) for mode in MODES]
    return sorted(options, key=lambda option: option.bill.total if option.bill else Decimal("Inf"))


def _option(question: Question, mode: str) -> Option:
    try:
        profile = question.placed(mode)
        against = tuple(reasons(profile))
        said = remark(question.profile, profile)
        return Option(mode, None if against else question.bill(mode), against, said)
    except (CostError, PriceMissing) as error:
        return Option(mode, None, (error.message,))


def break_evens(question: Question, options: list[Option]) -> list[BreakEven]:
    """Against one instance that is always on, for the other modes that can run; empty when it cannot."""
    if not any(option.mode == "realtime" and option.bill for option in options):
        return []
    single = question.of_one_instance()
    capacity = single.placed("realtime").capacity
    modes = [option.mode for option in options if option.bill and option.mode not in ("realtime", "autoscaled")]
    return [
        BreakEven(
            mode,
            break_even(total(single, "realtime"), total(single, mode), capacity),
            break_even(compute(single, "realtime"), compute(single, mode), capacity),
        )
        for mode in modes
    ]


def total(question: Question, mode: str) -> Cost:
    """The bill's total by requests."""
    return lambda requests: question.bill(mode, requests).total


def compute(question: Question, mode: str) -> Cost:
    """The machines' part of it by requests."""
    return lambda requests: sum(
        (line.amount for line in question.bill(mode, requests).lines if line.key in COMPUTE), Decimal(0)
    )


def break_even(always: Cost, per_use: Cost, capacity: Decimal) -> Decimal | None:
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
