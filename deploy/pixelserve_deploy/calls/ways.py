"""Which way many images go: in real time, asynchronously or as a batch job, by their predicted sizes and seconds.

Limits are those of `cost.modes`, and how long an image takes is what estimates suppose of a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pixelserve.errors import BadRequest
from pixelserve_deploy.cost import (
    MODES,
    PriceMissing,
    estimate_documented_seconds,
    find_newest_book,
    format_money,
    load_models,
)
from pixelserve_deploy.deployment import Mode

MB = 1_000_000
BATCH_HOURS = 1
"""A real-time endpoint that would work longer than this on one command is left to its other callers."""


class Way(StrEnum):
    REALTIME = "realtime"
    ASYNC = "async"
    BATCH = "batch"


@dataclass(frozen=True)
class Load:
    """What is to be sent. Seconds are one image's on the endpoint's machine; None is not known."""

    count: int
    total: int
    largest: int
    mean_seconds: float | None
    longest_seconds: float | None

    @property
    def hours(self) -> float | None:
        """On one instance, which works on one image at a time however many requests it has."""
        return None if self.mean_seconds is None else self.count * self.mean_seconds / 3600


@dataclass(frozen=True)
class Choice:
    way: Way
    why: str


def load_of(sizes: Sequence[int], feature: str, seconds: float | None) -> Load:
    """Of images of these sizes; `seconds` of one are given, or those of the feature's document for such an image."""
    total, largest, count = sum(sizes), max(sizes), len(sizes)
    known = load_models().get(feature)
    if seconds is not None:
        return Load(count, total, largest, seconds, seconds * largest * count / total)
    mean = estimate_documented_seconds(known, Decimal(total) / count) if known else None
    longest = estimate_documented_seconds(known, Decimal(largest)) if known else None
    if mean is None or longest is None:
        return Load(count, total, largest, None, None)
    return Load(count, total, largest, float(mean), float(longest))


def choose_way(load: Load, mode: Mode, *, has_store: bool) -> Choice:
    """The way for an endpoint of this mode; `has_store` is a place on S3, which all but real time needs.

    Raises BadRequest where no way takes the largest image.
    """
    own = Way.ASYNC if mode is Mode.ASYNC else Way.REALTIME
    obstacle = _find_obstacle(load, str(mode))
    if obstacle is None and own is Way.ASYNC:
        return Choice(own, f"{describe_load(load)}; the endpoint is asynchronous")
    long = load.hours is not None and load.hours > BATCH_HOURS
    if obstacle is None and not (long and has_store):
        limits = MODES[str(mode)]
        within = f"none is above {limits.payload_mb} MB" + (f" or {limits.seconds} s" if load.mean_seconds else "")
        advice = ". A batch job would leave the endpoint to others: give --s3" if long else ""
        return Choice(own, f"{describe_load(load)}; {within}{advice}")
    beyond = _find_obstacle(load, "batch")
    reason = obstacle or f"more than {BATCH_HOURS} h would keep the endpoint from its other callers"
    if beyond is not None:
        raise BadRequest(f"No way takes these images: {beyond}. Send smaller ones.")
    if not has_store:
        raise BadRequest(f"Not in real time: {reason}. A batch job takes them: give --s3 s3://BUCKET/PREFIX/ for it.")
    return Choice(Way.BATCH, f"{describe_load(load)}; {reason}")


def describe_load(load: Load) -> str:
    """`1,000 images, 3.1 MB, about 4 s on one instance`."""
    time = "time not known (give --seconds)" if load.hours is None else f"about {describe_hours(load.hours)}"
    return f"{load.count:,} image{'s' * (load.count != 1)}, {load.total / MB:,.1f} MB, {time} on one instance"


def describe_hours(hours: float | Decimal) -> str:
    """4 s, 12 min or 3.5 h."""
    seconds = float(hours) * 3600
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _find_obstacle(load: Load, mode: str) -> str | None:
    """Why the largest image cannot go by a mode."""
    limits = MODES[mode]
    if load.largest > limits.payload_mb * MB:
        return f"the largest has {load.largest / MB:,.1f} MB, and {limits.title} takes {limits.payload_mb} MB"
    if load.longest_seconds is not None and load.longest_seconds > limits.seconds:
        return (
            f"the longest takes about {load.longest_seconds:,.0f} s, and {limits.title} ends after {limits.seconds} s"
        )
    return None


def describe_price(mode: Mode, instance: str, region: str, count: int = 1) -> str:
    """What an endpoint's way costs on so many instances, in a sentence; "" where no price is known."""
    if not instance:
        return "Billed by the memory and the seconds of each request."
    kind = "async" if mode is Mode.ASYNC else "hosting"
    try:
        book = find_newest_book(region)
        price = book.price("AmazonSageMaker", region, f"{kind} {instance}")
    except PriceMissing:
        return ""
    hourly = format_money(count * price.first, book.currency, 3)
    while_up = "while it is up" if mode is Mode.ASYNC else "whether it is called or not"
    what = f"An instance, {instance}, costs" if count == 1 else f"Its {count} instances, {instance}, cost"
    return f"{what} {hourly} an hour {while_up}."
