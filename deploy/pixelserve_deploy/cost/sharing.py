"""Several features on one instance (a multi-model endpoint) beside an endpoint for each, always on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.amounts import round_up
from pixelserve_deploy.cost.engine import Estimate, estimate
from pixelserve_deploy.cost.profile import MONTH_HOURS, UsageProfile
from pixelserve_deploy.cost.question import Question


@dataclass(frozen=True)
class Sharing:
    """The bills by feature: with instances of their own, and with their part of the shared ones."""

    apart: Mapping[str, Estimate]
    together: Mapping[str, Estimate]
    instances: int
    """Shared ones."""


def share_instances(questions: Mapping[str, Question]) -> Sharing:
    """For features on one type of instance. The shared hours are parted by the time that each keeps it busy.

    Raises CostError without a feature's seconds, or where it cannot run in real time.
    """
    apart, busy = {}, {}
    for name, question in questions.items():
        profile = question.require_mode("realtime")
        apart[name] = question.estimate("realtime")
        busy[name] = profile.busy_hours / question.scaling.utilisation
    instances = max(round_up(sum(busy.values()) / MONTH_HOURS), Decimal(1))
    whole = sum(busy.values())
    together = {}
    for number, (name, question) in enumerate(questions.items()):
        part = busy[name] / whole if whole else Decimal(1) / len(questions)
        profile = replace(question.apply_mode("realtime"), hours=MONTH_HOURS * instances * part)
        together[name] = _bill(question, profile if number == 0 else replace(profile, image_gb=Decimal(0)))
    return Sharing(apart, together, int(instances))


def _bill(question: Question, profile: UsageProfile) -> Estimate:
    return estimate(profile, question.book, question.policy, free_tier=question.free_tier, name="shared")
