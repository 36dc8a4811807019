"""Several features on one instance (a multi-model endpoint) beside an endpoint for each, always on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.amounts import round_up
from pixelserve_deploy.cost.engine import Estimate, LineItem, list_account_lines
from pixelserve_deploy.cost.profile import MONTH_HOURS
from pixelserve_deploy.cost.question import Question


@dataclass(frozen=True)
class Column:
    """One way to run the features."""

    bills: Mapping[str, Estimate]
    """Each feature's, as if it were alone in its account: from the first tier on, with nothing free."""
    lines: tuple[LineItem, ...]
    """What the account pays for all of them: tiers, and what is free, count once."""

    @property
    def alone(self) -> Decimal:
        """The sum of the features' bills."""
        return sum((bill.total for bill in self.bills.values()), Decimal(0))

    @property
    def total(self) -> Decimal:
        """What is paid."""
        return sum((line.amount for line in self.lines), Decimal(0))


@dataclass(frozen=True)
class Sharing:
    """The features with instances of their own, and with their part of the shared ones."""

    apart: Column
    together: Column
    instances: int
    """Shared ones."""


def share_instances(questions: Mapping[str, Question]) -> Sharing:
    """For features on one type of instance, at one set of prices. The shared hours are parted by the time that each
    keeps it busy.

    Raises CostError without a feature's seconds, where it cannot run in real time, or for a given price that is in no
    bill.
    """
    busy = {}
    for name, question in questions.items():
        busy[name] = question.require_mode("realtime").busy_hours / question.scaling.utilisation
    whole = sum(busy.values())
    instances = max(round_up(whole / MONTH_HOURS), Decimal(1))
    apart, together = {}, {}
    for number, (name, asked) in enumerate(questions.items()):
        question = replace(asked, free_tier=False)
        part = busy[name] / whole if whole else Decimal(1) / len(questions)
        profile = replace(question.apply_mode("realtime"), hours=MONTH_HOURS * instances * part)
        apart[name] = question.estimate("realtime")
        together[name] = question.price(profile if number == 0 else replace(profile, image_gb=Decimal(0)), "shared")
    any_question = next(iter(questions.values()))
    any_question.require_prices_used(apart.values())
    return Sharing(_pay(apart, any_question), _pay(together, any_question), int(instances))


def _pay(bills: Mapping[str, Estimate], question: Question) -> Column:
    return Column(bills, list_account_lines([*bills.values()], question.book, free_tier=question.free_tier))
