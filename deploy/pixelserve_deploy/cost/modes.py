"""The ways to run a model: which are possible, and for how many hours each one's machines are billed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.amounts import format_grouped, format_percent, round_half_up, round_up
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.profile import BASE64, LINK, MONTH_HOURS, UsageProfile, encode_size
from pixelserve_deploy.cost.usage import LINK_BYTES

MB = Decimal(10**6)
INSTANCE, MEMORY = "instance", "memory"
ASYNC_INSTEAD = {"ml.g4dn.xlarge": "ml.g4dn.2xlarge"}
"""Instances that the price list does not offer for asynchronous endpoints, and the next that it does."""
GATEWAY_MB, GATEWAY_SECONDS = 10, 29
BATCH_STARTS_A_DAY = Decimal(1)


@dataclass(frozen=True)
class Mode:
    """A way to run a model, and SageMaker's or Lambda's limits on it."""

    name: str
    title: str
    machine: str
    """`instance`, or `memory`: CPU only, billed by memory and seconds."""
    payload_mb: int
    seconds: int
    waits: bool = True
    """The caller waits for the answer on the connection."""
    most_memory_mb: int | None = None


MODES = {
    mode.name: mode
    for mode in (
        Mode("realtime", "real-time, always on", INSTANCE, 25, 60),
        Mode("autoscaled", "real-time, autoscaled", INSTANCE, 25, 60),
        Mode("async", "asynchronous, scaled to zero", INSTANCE, 1000, 3600, waits=False),
        Mode("serverless", "serverless inference", MEMORY, 4, 60, most_memory_mb=6144),
        Mode("lambda", "Lambda", MEMORY, 6, 900, most_memory_mb=10240),
        Mode("batch", "batch transform", INSTANCE, 100, 3600, waits=False),
    )
}


@dataclass(frozen=True)
class Scaling:
    """How full instances are driven, and how often they start."""

    utilisation: Decimal = Decimal("0.7")
    """The part of its time that an instance works, at most."""
    instances: int | None = None
    """Of an endpoint that is always on, and the least of an autoscaled one; None is as many as the load needs."""
    starts_a_day: Decimal = Decimal(8)
    """How often an asynchronous endpoint wakes from zero."""
    start_hours: Decimal = Decimal(10) / 60
    """What is billed around a start, of a batch job too: loading, and the end. Not measured on AWS."""


def apply_mode(profile: UsageProfile, name: str, scaling: Scaling) -> UsageProfile:
    """The profile in a mode, with its instance hours, and an instance that the mode has."""
    mode = MODES[name]
    profile = replace(profile, mode=name, hours=None)
    if not mode.waits:
        profile = replace(profile, delivery=LINK)
    if mode.machine == MEMORY:
        return replace(profile, waits=None)
    if name == "async":
        profile = replace(profile, instance=ASYNC_INSTEAD.get(profile.instance, profile.instance))
    return replace(profile, hours=_count_hours(profile, name, scaling))


def _count_hours(profile: UsageProfile, name: str, scaling: Scaling) -> Decimal:
    period = MONTH_HOURS * profile.months
    driven = profile.busy_hours / scaling.utilisation
    needed = max(round_up(driven / period), Decimal(1))
    if name == "realtime":
        return period * (needed if scaling.instances is None else scaling.instances)
    if name == "autoscaled":
        return max(driven, period * (scaling.instances or 1))
    return (profile.busy_hours if name == "batch" else driven) + count_start_hours(profile, scaling)


def count_start_hours(profile: UsageProfile, scaling: Scaling) -> Decimal:
    """What is billed around the starts from none of the profile's mode, in the period: at most one for each request,
    and none where an asynchronous endpoint never sleeps, for one instance's load and more."""
    starts = {"async": scaling.starts_a_day, "batch": BATCH_STARTS_A_DAY}.get(profile.mode, Decimal(0))
    period = MONTH_HOURS * profile.months
    around = min(starts * period / 24, profile.requests) * scaling.start_hours
    if profile.mode == "async":
        return min(around, max(period - profile.busy_hours / scaling.utilisation, Decimal(0)))
    return around


def find_obstacles(profile: UsageProfile, scaling: Scaling) -> list[str]:
    """Why a profile cannot run in its mode so scaled; empty when it can."""
    mode = MODES[profile.mode]
    found = []
    limit_mb, limit_s = mode.payload_mb, mode.seconds
    through = profile.gateway and mode.waits
    if through:
        limit_mb, limit_s = min(limit_mb, GATEWAY_MB), min(limit_s, GATEWAY_SECONDS)
    where = f"{mode.title}{' behind API Gateway' if through else ''}"
    found += [
        f"{where} takes {limit_mb} MB; the {name} has {format_grouped(size / MB)} MB{name_carrier(profile)}: "
        "send JPEG or WebP, or a link to S3"
        for name, size in _measure_carried(profile).items()
        if size > limit_mb * MB
    ]
    longest = max(profile.seconds, profile.waits or profile.seconds)
    if longest > limit_s:
        found.append(f"{where} ends after {limit_s} s; a request takes {format_grouped(round_half_up(longest, 2))} s")
    if mode.most_memory_mb is not None and profile.memory_mb > mode.most_memory_mb:
        found.append(f"{mode.title} has {mode.most_memory_mb} MB at most, not {profile.memory_mb}: measure with less")
    if profile.mode == "realtime" and scaling.instances is not None:
        found += _find_overload(profile, scaling, scaling.instances)
    return found


def require_possible(profile: UsageProfile, scaling: Scaling) -> None:
    """Raises CostError with the reasons why a profile cannot run in its mode so scaled."""
    obstacles = find_obstacles(profile, scaling)
    if obstacles:
        title = MODES[profile.mode].title
        raise CostError(f"{title}: {'; '.join(obstacles)}. `pixelserve cost compare` shows what can.")


def count_served(profile: UsageProfile, scaling: Scaling) -> Decimal:
    """Requests that one instance serves in the period when it is driven as `scaling` says."""
    return profile.capacity * scaling.utilisation


def _find_overload(profile: UsageProfile, scaling: Scaling, instances: int) -> list[str]:
    """Whether so many instances are too few."""
    most = count_served(profile, scaling)
    if profile.requests <= instances * most:
        return []
    return [
        f"{instances} {profile.instance} driven at {format_percent(scaling.utilisation)} "
        f"serve {format_grouped(round_half_up(instances * most, 0))} requests a month, not "
        f"{format_grouped(profile.requests)}: take {round_up(profile.requests / most)}"
    ]


def describe_change(asked: UsageProfile, given: UsageProfile) -> str | None:
    """What applying the mode changed that was asked for otherwise."""
    if given.mode == "async" and asked.instance != given.instance:
        return (
            f"{asked.instance} is not offered for asynchronous endpoints; this is {given.instance}, at the same seconds"
        )
    return None


def _measure_carried(profile: UsageProfile) -> dict[str, Decimal]:
    """Bytes of the request and the answer on the connection to the mode itself.

    Our function sends pictures as Lambda's events have them, in Base64, and takes them so.
    """
    is_lambda = profile.mode == "lambda"
    request = BASE64 if is_lambda else profile.request_encoding
    answer = BASE64 if is_lambda and profile.answers_pictures else profile.response_encoding
    answered = encode_size(profile.response_bytes, answer)
    if profile.delivery == LINK:
        answered = LINK_BYTES if MODES[profile.mode].waits else profile.response_bytes
    return {"request": encode_size(profile.request_bytes, request), "answer": answered}


def name_carrier(profile: UsageProfile) -> str:
    """Why a size is not that of the picture."""
    return ", in Base64 as Lambda carries pictures" if profile.mode == "lambda" else ""
