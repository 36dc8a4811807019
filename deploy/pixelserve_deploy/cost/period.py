"""The bill of a simulated period."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from pixelserve_deploy.cost.engine import Estimate
from pixelserve_deploy.cost.profile import MONTH_HOURS
from pixelserve_deploy.cost.question import Question
from pixelserve_deploy.cost.simulation import SimulationResult


def price_period(question: Question, mode: str, outcome: SimulationResult) -> Estimate:
    """The hours as simulated, all requests, and the answers of those that did not fail."""
    requests = Decimal(outcome.offered)
    profile = replace(
        question.apply_mode(mode, requests),
        answers=requests - outcome.failed,
        hours=Decimal(str(outcome.instance_hours)),
        months=Decimal(len(outcome.billed)) / 60 / MONTH_HOURS,
    )
    return question.price(profile, f"simulated, {mode}")
