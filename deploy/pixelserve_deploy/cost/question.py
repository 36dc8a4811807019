"""The question of a bill: a workload with all that it leaves open, to be priced in any mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.defaults import (
    SCALE,
    ModelDefaults,
    estimate_answer_bytes,
    estimate_documented_answer,
    estimate_documented_seconds,
    estimate_picture_bytes,
    estimate_pixels,
    find_model,
)
from pixelserve_deploy.cost.engine import Estimate, estimate
from pixelserve_deploy.cost.errors import CostError, WorkloadError
from pixelserve_deploy.cost.given import choose_book, require_given_used
from pixelserve_deploy.cost.measured import Benchmark, Row, read_benchmark, select_images, select_within
from pixelserve_deploy.cost.modes import INSTANCE, MEMORY, MODES, Scaling, apply_mode, require_possible
from pixelserve_deploy.cost.policy import Policy, find_policy
from pixelserve_deploy.cost.pricebook import PriceBook
from pixelserve_deploy.cost.profile import LINK, RAW, RESPONSE, UsageProfile
from pixelserve_deploy.cost.workload import P99, Workload


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

    def limit_instances(self) -> Question:
        """The same with the instances that are given, or one, always on, however many requests there are."""
        return replace(self, scaling=replace(self.scaling, instances=self.scaling.instances or 1))

    def estimate(self, mode: str, requests: Decimal | None = None) -> Estimate:
        """The bill of a mode. Raises CostError without its seconds, PriceMissing without a price."""
        return self.price(self.apply_mode(mode, requests), mode)

    def price(self, profile: UsageProfile, name: str = "estimate") -> Estimate:
        """The bill of a profile, with the question's prices. Raises PriceMissing."""
        return estimate(profile, self.book, self.policy, free_tier=self.free_tier, name=name)

    def apply_mode(self, mode: str, requests: Decimal | None = None) -> UsageProfile:
        """The profile in a mode, for other requests if given. Raises CostError without the mode's seconds."""
        seconds = self.seconds[MODES[mode].machine]
        if seconds is None:
            if MODES[mode].machine == INSTANCE:
                raise CostError(
                    f"how long a request takes on {self.profile.instance} is not known: give --seconds, or --measured"
                )
            raise CostError(
                "it has no GPU, and how long a request takes on its CPU "
                f"with {self.profile.memory_mb} MB is not known: give --cpu-seconds"
            )
        profile = replace(self.profile, seconds=seconds)
        return apply_mode(profile if requests is None else replace(profile, requests=requests), mode, self.scaling)

    def require_mode(self, mode: str) -> UsageProfile:
        """The profile in a mode. Raises CostError with the reasons why it cannot run there."""
        profile = self.apply_mode(mode)
        require_possible(profile, self.scaling)
        return profile

    def require_prices_used(self, bills: Iterable[Estimate]) -> None:
        """Raises CostError for a price that was given and that none of the bills counts with."""
        require_given_used(self.book, [line.price for bill in bills for line in bill.lines])


def build_question(workload: Workload) -> Question:
    """The workload with everything that it leaves open. Raises CostError naming what cannot be found."""
    known = find_model(workload.model)
    profile = _build_profile(workload, known)
    row = find_measured_row(workload, profile.request_bytes)
    if row is not None:
        profile = replace(profile, waits=row.times[workload.percentile or P99])
    book = choose_book(workload.book, workload.region, workload.prices)
    if workload.free_tier and not book.free:
        raise CostError(f"The price book {book.id} has no free allowances: leave out --free-tier.")
    policy = find_policy(workload.policy)
    return Question(
        profile=profile,
        seconds={
            INSTANCE: row.seconds if row else workload.seconds or _recall_seconds(workload, known, profile),
            MEMORY: workload.cpu_seconds or _recall_cpu_seconds(workload, known),
        },
        book=book,
        policy=policy if workload.tiers else replace(policy, tiers=False),
        scaling=Scaling(workload.utilisation, workload.instances, workload.starts_a_day),
        free_tier=workload.free_tier,
    )


def _recall_seconds(workload: Workload, known: ModelDefaults, profile: UsageProfile) -> Decimal | None:
    """The documents' seconds, which are those of their instance only."""
    if workload.instance not in (None, known.instance):
        return None
    return estimate_documented_seconds(known, profile.request_bytes)


def _recall_cpu_seconds(workload: Workload, known: ModelDefaults) -> Decimal | None:
    """The documents' seconds on Lambda, which gives more of a CPU with more memory."""
    return known.cpu_seconds if workload.memory_mb in (None, known.memory_mb) else None


def find_measured_row(workload: Workload, request_bytes: Decimal) -> Row | None:
    """The load of `measured` that counts: the fastest within the latency, its times in proportion to the pixels."""
    if workload.measured is None:
        return None
    enlarges = find_model(workload.model).enlarges
    scale = (workload.scale or SCALE) if enlarges else None
    benchmark = select_images(_read_measured(workload), scale)
    if enlarges:
        benchmark = replace(benchmark, rows=tuple(row.at(estimate_pixels(request_bytes)) for row in benchmark.rows))
    return select_within(benchmark, workload.latency, workload.percentile or P99)[0]


def _read_measured(workload: Workload) -> Benchmark:
    """The benchmark. Raises WorkloadError where it was measured on another instance, or nothing says what to price."""
    assert workload.measured is not None
    benchmark = read_benchmark(workload.measured)
    if benchmark.instance is None and workload.instance is None:
        raise WorkloadError(
            f"{{}} was measured on {benchmark.machine}: give {{}}, which it is to be priced as", "measured", "instance"
        )
    if benchmark.instance is not None and workload.instance not in (None, benchmark.instance):
        raise WorkloadError(
            f"{{}} was measured on an {benchmark.instance}, and says nothing of an {workload.instance}: leave out {{}}",
            "measured",
            "instance",
        )
    return benchmark


def cite_measurement(workload: Workload, request_bytes: Decimal) -> str | None:
    """What the seconds of `measured` rest on."""
    row = find_measured_row(workload, request_bytes)
    if workload.measured is None or row is None:
        return None
    is_scaled = row.pixels and find_model(workload.model).enlarges
    scaled = ", in proportion to the pixels" if is_scaled else ""
    benchmark = read_benchmark(workload.measured)
    marked = "" if benchmark.instance else f", which is no {workload.instance} unless you measured on one"
    return f"Measured on {benchmark.machine}{marked}: {row.label}{scaled}."


def _build_profile(workload: Workload, known: ModelDefaults) -> UsageProfile:
    sent = known.request_bytes if workload.request_bytes is None else workload.request_bytes
    if workload.megapixels is not None:
        sent = estimate_picture_bytes(workload.megapixels)
    scale = workload.scale or SCALE
    answered = workload.response_bytes
    if workload.codec:
        answered = estimate_answer_bytes(sent, scale, workload.codec)
    if answered is None:
        answered = estimate_documented_answer(known, sent) * (scale * scale) / (SCALE * SCALE)
    documented = known.response_encoding if workload.documented else RAW
    measured_on = read_benchmark(workload.measured).instance if workload.measured else None
    return UsageProfile(
        mode="realtime",
        region=workload.region,
        requests=workload.requests,
        seconds=known.seconds or Decimal(0),
        request_bytes=sent,
        response_bytes=answered,
        request_encoding=workload.request_encoding,
        response_encoding=workload.encoding or documented,
        answers_pictures=known.answers_pictures,
        delivery=LINK if workload.link else RESPONSE,
        egress=not workload.in_region,
        gateway=workload.gateway or workload.documented,
        log_bytes=workload.log_bytes,
        memory_mb=workload.memory_mb or known.memory_mb,
        instance=workload.instance or measured_on or known.instance,
        concurrency=workload.concurrency,
    )
