"""What somebody asks the price of: the fields of a bill's question, and which of them would change nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path

from pixelserve_deploy.cost.defaults import SUPER_RESOLUTION, find_model
from pixelserve_deploy.cost.errors import WorkloadError
from pixelserve_deploy.cost.modes import INSTANCE, MEMORY, MODES, Scaling
from pixelserve_deploy.cost.policy import EXACT, find_policy
from pixelserve_deploy.cost.profile import RAW

P99 = "p99"
EXCLUSIVE = (
    ("request_bytes", "megapixels"),
    ("response_bytes", "codec"),
    ("seconds", "measured"),
    ("documented", "gateway"),
    ("documented", "encoding"),
    ("link", "encoding"),
)
"""Fields of which at most one is given."""
COMPANIONS = (("latency", "measured"), ("percentile", "latency"))
"""Fields that say nothing without another."""
POSITIVE = ("seconds", "cpu_seconds", "memory_mb", "instances", "megapixels", "concurrency", "request_bytes")
ON_INSTANCES = frozenset(mode for mode in MODES if MODES[mode].machine == INSTANCE)
ON_MEMORY = frozenset(mode for mode in MODES if MODES[mode].machine == MEMORY)
WAITED_FOR = frozenset(mode for mode in MODES if MODES[mode].waits)
HEEDED_BY = {
    **dict.fromkeys(("instance", "seconds", "measured", "latency", "percentile", "concurrency"), ON_INSTANCES),
    **dict.fromkeys(("cpu_seconds", "memory_mb"), ON_MEMORY),
    **dict.fromkeys(("encoding", "link", "documented"), WAITED_FOR),
    "request_encoding": WAITED_FOR - {"lambda"},
    "gateway": frozenset(MODES) - {"batch"},
    "utilisation": ON_INSTANCES - {"batch"},
    "instances": frozenset({"realtime", "autoscaled"}),
    "starts_a_day": frozenset({"async"}),
}
"""The modes whose bill a field can change; those that are not here change every one."""


@dataclass(frozen=True)
class Workload:
    """A job and its prices. None is what the model's defaults, or the newest price book, have.

    Raises WorkloadError for fields that contradict each other, or that say nothing beside the others.
    """

    model: str = SUPER_RESOLUTION
    """Whose sizes and seconds to begin with."""
    requests: Decimal = Decimal(10**6)
    """A month."""
    request_bytes: Decimal | None = None
    megapixels: Decimal | None = None
    """The request as a JPEG of so many pixels, in place of `request_bytes`."""
    response_bytes: Decimal | None = None
    """One answer, before Base64. None is the document's, in proportion to the request and to `scale`."""
    codec: str | None = None
    """The answer's size as measured for this codec, in place of `response_bytes`."""
    scale: int | None = None
    """The factor of super-resolution; None is 2."""
    encoding: str | None = None
    """Of the answer: `raw` or `base64`."""
    request_encoding: str = RAW
    log_bytes: Decimal = Decimal(10_000)
    """One request's."""
    link: bool = False
    """The answer is a link to S3."""
    in_region: bool = False
    """Callers are in the region: nothing is billed for leaving."""
    gateway: bool = False
    """An API Gateway stands in front; otherwise the endpoint is called itself."""
    documented: bool = False
    """The job as the documents have it: behind API Gateway, and with their encoding of answers."""
    instance: str | None = None
    seconds: Decimal | None = None
    """Of one request on the instance."""
    measured: Path | None = None
    """The same from a benchmark's JSON."""
    latency: Decimal | None = None
    """Seconds: the most that is accepted of `measured`."""
    percentile: str | None = None
    """Of the latency; None is p99."""
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
    prices: tuple[tuple[str, Decimal], ...] = ()
    """Prices that replace the book's: names such as AmazonSageMaker/hosting/ml.g4dn.xlarge, with an amount a unit."""
    policy: str = EXACT.name
    tiers: bool = True
    """Later tiers have their own price."""
    free_tier: bool = False

    def __post_init__(self) -> None:
        for one, other in EXCLUSIVE:
            if self._gives(one) and self._gives(other):
                raise WorkloadError("{} or {}, not both", one, other)
        for one, other in COMPANIONS:
            if self._gives(one) and not self._gives(other):
                raise WorkloadError("{} goes with {}", one, other)
        if self.measured is not None and self.concurrency != 1:
            raise WorkloadError(
                "{} or {}, not both: the measured rate has what runs at a time", "measured", "concurrency"
            )
        if not 0 < self.utilisation <= 1:
            raise WorkloadError("{} is above 0 and at most 100%", "utilisation")
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise WorkloadError("{} is above 0", name)
        self._check_model()
        self._check_policy()

    def _check_model(self) -> None:
        enlarges = find_model(self.model).enlarges
        if self.codec and not enlarges:
            raise WorkloadError("{} knows the answers of image-super-resolution; give {}", "codec", "response_bytes")
        if self.scale is not None and not enlarges:
            raise WorkloadError("{} is of image-super-resolution: leave it out", "scale")
        if self.scale is not None and self.response_bytes is not None and self.measured is None:
            raise WorkloadError("{} or {}, not both: the scale gives the answer its size", "scale", "response_bytes")

    def _check_policy(self) -> None:
        policy = find_policy(self.policy)
        if not self.tiers and not policy.tiers:
            raise WorkloadError(f"{{}} changes nothing with the policy {policy.name}, which has no tiers", "tiers")
        for name in ("encoding", "request_encoding"):
            if self._gives(name) and getattr(self, name) != RAW and not policy.base64:
                raise WorkloadError(f"{{}} changes nothing with the policy {policy.name}, which counts no Base64", name)

    def require_heeded(self, mode: str) -> None:
        """Raises WorkloadError for a field that is given and cannot change the mode's bill."""
        for name, modes in HEEDED_BY.items():
            if self._gives(name) and mode not in modes:
                raise WorkloadError(
                    f"{{}} changes nothing of {MODES[mode].title}: leave it out "
                    f"(it is of {', '.join(name for name in MODES if name in modes)})",
                    name,
                )

    def _gives(self, name: str) -> bool:
        """Whether a field is not left at its default."""
        return bool(getattr(self, name) != _DEFAULTS[name])


_DEFAULTS = {field.name: field.default for field in fields(Workload)}
