"""What a run of jobs will take and cost, by the cost engine and today's prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pixelserve_deploy.batch.shards import Order
from pixelserve_deploy.calls import describe_hours
from pixelserve_deploy.cost import (
    CostError,
    Estimate,
    PriceMissing,
    Scaling,
    Workload,
    build_question,
    format_measure,
    format_money,
    format_plain,
    format_short,
)

DEFAULT = Workload.model
START_HOURS = Scaling.start_hours
"""What is billed around a job, as estimates have it."""


@dataclass(frozen=True)
class Forecast:
    """Of an order: `hours` by the clock and the bill; without a bill nothing is to do, or `obstacle` says why."""

    order: Order
    hours: Decimal = Decimal(0)
    bill: Estimate | None = None
    obstacle: str = ""

    def list_lines(self) -> list[str]:
        """What there is to do, and what it takes and costs."""
        told = self.to_json()
        parts = [f"{told['images']:,} images in {told['jobs']:,} job{'s' * (told['jobs'] != 1)}"]
        parts += [
            f"{told[key]:,} {key.replace('_', ' ')}" for key in ("there_already", "made_anew", "too_large") if told[key]
        ]
        if self.bill is None or not self.order.shards:
            return [f"{', '.join(parts)}.", *([self.obstacle] if self.obstacle else [])]
        profile = self.bill.profile
        assert profile.hours is not None
        return [
            f"{', '.join(parts)}.",
            f"About {describe_hours(self.hours)} and {format_money(self.bill.total, self.bill.currency)}: "
            f"{format_short(profile.hours)} h of {profile.instance}, {format_measure(profile.seconds)} s an image and "
            f"{START_HOURS * 60:.0f} min for the start of a job; neither was measured on AWS.",
        ]

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "images": len(self.order.sizes),
            "bytes": sum(self.order.sizes),
            "jobs": len(self.order.shards),
            "there_already": self.order.report.skipped,
            "made_anew": len(self.order.old),
            "too_large": len(self.order.report.failures),
        }
        if not self.order.shards:
            return {**told, "hours": 0.0, "instance_hours": 0.0, "cost": "0", "currency": None}
        if self.bill is None:
            return {**told, "hours": None, "cost": None, "obstacle": self.obstacle}
        hours = self.bill.profile.hours or Decimal(0)
        figures = {"hours": float(round(self.hours, 3)), "instance_hours": float(round(hours, 3))}
        return {**told, **figures, "cost": format_plain(self.bill.total), "currency": self.bill.currency}


def forecast_jobs(
    order: Order,
    feature: str,
    region: str,
    instance: str,
    count: int = 1,
    *,
    seconds: Decimal | None = None,
    measured: Path | None = None,
) -> Forecast:
    """For the order's jobs on `count` instances each.

    Seconds of one image are given, or measured, or those of the documents as estimates have them. A model of one's
    own ("") has the sizes of answers that super-resolution has.
    """
    if not order.shards:
        return Forecast(order)
    try:
        return _forecast(order, feature, region, instance, count, seconds, measured)
    except (CostError, PriceMissing) as error:
        return Forecast(order, obstacle=f"Time and cost are not known: {error.message.rstrip('.')}.")


def _forecast(
    order: Order, feature: str, region: str, instance: str, count: int, seconds: Decimal | None, measured: Path | None
) -> Forecast:
    if not feature and seconds is None and measured is None:
        raise CostError("how long an image takes: give --seconds")
    images = Decimal(len(order.sizes))
    mean = Decimal(sum(order.sizes)) / images
    workload = Workload(model=feature or DEFAULT, instance=instance, region=region, requests=images,
                        request_bytes=mean, seconds=seconds, measured=measured, in_region=True, link=True)  # fmt: skip
    question = build_question(workload)
    profile = question.apply_mode("batch")
    starts = len(order.shards) * START_HOURS
    profile = replace(profile, hours=profile.busy_hours + count * starts)
    return Forecast(order, profile.busy_hours / count + starts, question.price(profile, "batch"))
