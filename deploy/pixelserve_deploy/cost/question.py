"""The question of a bill: a workload, and how it is priced, as values that any caller can make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from pixelserve_deploy.cost.defaults import (
    ModelDefaults,
    estimate_answer_bytes,
    estimate_picture_bytes,
    estimate_pixels,
    find_model,
)
from pixelserve_deploy.cost.engine import Estimate, estimate
from pixelserve_deploy.cost.errors import CostError, WorkloadError
from pixelserve_deploy.cost.measured import Row, read_benchmark, select_images, select_within
from pixelserve_deploy.cost.modes import INSTANCE, MEMORY, MODES, Scaling, apply_mode, find_obstacles
from pixelserve_deploy.cost.policy import EXACT, Policy, find_policy
from pixelserve_deploy.cost.pricebook import PriceBook, find_book, find_newest_book
from pixelserve_deploy.cost.profile import LINK, RAW, RESPONSE, UsageProfile

SUPER_RESOLUTION = "image-super-resolution"


@dataclass(frozen=True)
class Workload:
    """What somebody asks the price of. None is what the model's defaults, or the newest price book, have.

    Raises WorkloadError for fields that contradict each other.
    """

    model: str = SUPER_RESOLUTION
    """Whose sizes and seconds to begin with."""
    requests: Decimal = Decimal(10**6)
    """A month."""
    request_bytes: Decimal | None = None
    megapixels: Decimal | None = None
    """The request as a JPEG of so many pixels, in place of `request_bytes`."""
    response_bytes: Decimal | None = None
    """One answer, before Base64."""
    codec: str | None = None
    """The answer's size as measured for this codec, in place of `response_bytes`."""
    scale: int = 2
    """The factor of super-resolution, of `codec` and `measured`."""
    encoding: str | None = None
    """Of the answer: `raw` or `base64`."""
    request_encoding: str = RAW
    log_bytes: Decimal = Decimal(10_000)
    """One request's."""
    link: bool = False
    """The answer is a link to S3."""
    in_region: bool = False
    """Callers are in the region: nothing is billed for leaving."""
    gateway: bool = True
    """An API Gateway stands in front."""
    instance: str | None = None
    seconds: Decimal | None = None
    """Of one request on the instance."""
    measured: Path | None = None
    """The same from a benchmark's JSON."""
    latency: Decimal | None = None
    """Seconds: the most that is accepted of `measured`."""
    percentile: str = "p99"
    """Of the latency."""
    concurrency: int = 1
    cpu_seconds: Decimal | None = None
    """Of one request on Lambda or a serverless endpoint."""
    memory_mb: int | None = None
    """Of Lambda and of serverless inference."""
    utilisation: Decimal = Scaling.utilisation
    instances: int | None = None
    """Always on; None is as many as the load needs."""
    starts_a_day: Decimal = Scaling.starts_a_day
    region: str = "us-east-2"
    book: str | None = None
    """A price book's id or file."""
    policy: str = EXACT.name
    tiers: bool = True
    """Later tiers have their own price."""
    free_tier: bool = False

    def __post_init__(self) -> None:
        for one, other in (("request_bytes", "megapixels"), ("response_bytes", "codec"), ("seconds", "measured")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise WorkloadError("{} or {}, not both", one, other)
        if self.latency is not None and self.measured is None:
            raise WorkloadError("{} goes with {}", "latency", "measured")
        if self.measured is not None and self.concurrency != 1:
            raise WorkloadError(
                "{} or {}, not both: the measured rate has what runs at a time", "measured", "concurrency"
            )
        if not 0 < self.utilisation <= 1:
            raise WorkloadError("{} is above 0 and at most 100%", "utilisation")
        for name in ("seconds", "cpu_seconds", "memory_mb", "instances", "megapixels", "concurrency"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise WorkloadError("{} is above 0", name)
        if self.codec and find_model(self.model).name != SUPER_RESOLUTION:
            raise WorkloadError("{} knows the answers of image-super-resolution; give {}", "codec", "response_bytes")


@dataclass(frozen=True)
class Question:
    """A job to be priced in any mode. The profile's `seconds` are replaced by those of the mode's machine."""

    profile: UsageProfile
    seconds: Mapping[str, Decimal | None]
    """By `modes.INSTANCE` and `modes.MEMORY`; None is unknown."""
    book: PriceBook
    policy: Policy
    scaling: Scaling
    free_tier: bool = False

    def limit_to_one_instance(self) -> Question:
        """The same with one instance that is always on, however many requests there are."""
        return replace(self, scaling=replace(self.scaling, instances=1))

    def estimate(self, mode: str, requests: Decimal | None = None) -> Estimate:
        """The bill of a mode. Raises CostError without its seconds, PriceMissing without a price."""
        return estimate(self.apply_mode(mode, requests), self.book, self.policy, free_tier=self.free_tier, name=mode)

    def apply_mode(self, mode: str, requests: Decimal | None = None) -> UsageProfile:
        """The profile in a mode, for other requests if given. Raises CostError without the mode's seconds."""
        seconds = self.seconds[MODES[mode].machine]
        if seconds is None:
            if MODES[mode].machine == INSTANCE:
                raise CostError(f"how long a request takes on {self.profile.instance} is not known: give --seconds")
            raise CostError("it has no GPU, and how long a request takes on its CPU is not known: give --cpu-seconds")
        profile = replace(self.profile, seconds=seconds)
        return apply_mode(profile if requests is None else replace(profile, requests=requests), mode, self.scaling)

    def require_mode(self, mode: str) -> UsageProfile:
        """The profile in a mode. Raises CostError with the reasons why it cannot run there."""
        profile = self.apply_mode(mode)
        obstacles = find_obstacles(profile)
        if obstacles:
            raise CostError(f"{MODES[mode].title}: {'; '.join(obstacles)}. `pixelserve cost compare` shows what can.")
        return profile

    def list_notes(self) -> list[str]:
        """Says so where `free_tier` takes nothing off."""
        if not self.free_tier or self.book.free:
            return []
        return [f"The price book {self.book.id} has no free allowances: --free-tier takes nothing off."]


def build_question(workload: Workload) -> Question:
    """The workload with everything that it leaves open. Raises CostError naming what cannot be found."""
    known = find_model(workload.model)
    profile = _build_profile(workload, known)
    row = find_measured_row(workload, profile.request_bytes)
    if row is not None:
        profile = replace(profile, waits=row.times[workload.percentile])
    policy = find_policy(workload.policy)
    return Question(
        profile=profile,
        seconds={
            INSTANCE: row.seconds if row else workload.seconds or known.seconds,
            MEMORY: workload.cpu_seconds or known.cpu_seconds,
        },
        book=find_book(workload.book) if workload.book else find_newest_book(workload.region),
        policy=policy if workload.tiers else replace(policy, tiers=False),
        scaling=Scaling(workload.utilisation, workload.instances, workload.starts_a_day),
        free_tier=workload.free_tier,
    )


def find_measured_row(workload: Workload, request_bytes: Decimal) -> Row | None:
    """The load of `measured` that counts: the fastest within the latency, its times in proportion to the pixels."""
    if workload.measured is None:
        return None
    scale = workload.scale if find_model(workload.model).name == SUPER_RESOLUTION else None
    benchmark = select_images(read_benchmark(workload.measured), scale)
    scaled = replace(benchmark, rows=tuple(row.at(estimate_pixels(request_bytes)) for row in benchmark.rows))
    return select_within(scaled, workload.latency, workload.percentile)[0]


def cite_measurement(workload: Workload, request_bytes: Decimal) -> str | None:
    """What the seconds of `measured` rest on."""
    row = find_measured_row(workload, request_bytes)
    if workload.measured is None or row is None:
        return None
    scaled = ", in proportion to the pixels" if row.pixels else ""
    return f"Measured on {read_benchmark(workload.measured).machine}: {row.label}{scaled}."


def _build_profile(workload: Workload, known: ModelDefaults) -> UsageProfile:
    sent = known.request_bytes if workload.request_bytes is None else workload.request_bytes
    if workload.megapixels is not None:
        sent = estimate_picture_bytes(workload.megapixels)
    answered = known.response_bytes if workload.response_bytes is None else workload.response_bytes
    if workload.codec:
        answered = estimate_answer_bytes(sent, workload.scale, workload.codec)
    return UsageProfile(
        mode="realtime",
        region=workload.region,
        requests=workload.requests,
        seconds=known.seconds or Decimal(0),
        request_bytes=sent,
        response_bytes=answered,
        request_encoding=workload.request_encoding,
        response_encoding=workload.encoding or (RAW if workload.codec else known.response_encoding),
        delivery=LINK if workload.link else RESPONSE,
        egress=not workload.in_region,
        gateway=workload.gateway,
        log_bytes=workload.log_bytes,
        memory_mb=workload.memory_mb or known.memory_mb,
        instance=workload.instance or known.instance,
        concurrency=workload.concurrency,
    )
