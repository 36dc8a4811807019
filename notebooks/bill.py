"""A bill beside what a notebook does: the hours of an endpoint's instances so far, by the price book of its region."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from pixelserve_deploy.cost import format_money
from pixelserve_deploy.deployment import EndpointSpec, price_endpoint

HOUR = 3600


class Bill:
    """Grows with each `note`; a notebook shows it as a table. Raises ValueError where no book has the price."""

    def __init__(self, spec: EndpointSpec) -> None:
        cost = price_endpoint(spec.model_copy(update={"count": 1, "most": 1}), spec.region)
        if cost.hour_at_rest is None:
            raise ValueError(" ".join(cost.notes))
        self._hour, self._currency, self._book = cost.hour_at_rest, cost.currency, cost.book
        self._instances, self._seconds = 0, Decimal(0)
        self._start = self._since = datetime.now(UTC)
        self._rows: list[str] = []

    def note(self, step: str, instances: int) -> Bill:
        """What was done, and how many instances there are from now on."""
        now = datetime.now(UTC)
        self._seconds += self._instances * Decimal((now - self._since).total_seconds())
        self._since, self._instances = now, instances
        minutes = (now - self._start).total_seconds() / 60
        paid = format_money(self._seconds * self._hour / HOUR, self._currency)
        month = format_money(730 * instances * self._hour, self._currency)
        self._rows.append(f"| {step} | {minutes:.1f} | {instances} | {paid} | {month} |")
        return self

    def __repr__(self) -> str:
        head = "| done | minutes | instances | so far | left for a month |\n|---|--:|--:|--:|--:|"
        price = format_money(self._hour, self._currency, 3)
        foot = f"{price} an instance and hour by {self._book}. Requests, data and logs come on top."
        return "\n".join([head, *self._rows, "", foot])

    _repr_markdown_ = __repr__
