"""What is asked of an endpoint: how often, how large, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pixelserve_deploy.cost.amounts import round_up
from pixelserve_deploy.cost.errors import CostError

MONTH_HOURS = Decimal(730)
"""Hours of a month, as AWS's own calculator has it."""
RAW, BASE64 = "raw", "base64"
RESPONSE, LINK = "response", "s3"


@dataclass(frozen=True)
class UsageProfile:
    """The usage of one endpoint over a period; sizes are bytes before any encoding."""

    mode: str
    """A name of `modes.MODES`."""
    region: str
    requests: Decimal
    """Of the whole period."""
    seconds: Decimal
    """One request's time on the machine, without waiting."""
    request_bytes: Decimal
    response_bytes: Decimal
    request_encoding: str = RAW
    response_encoding: str = RAW
    answers_pictures: bool = True
    """Lambda carries them in Base64, whatever the encoding."""
    delivery: str = RESPONSE
    """`response`, or `s3`: the answer is a link and the picture lies in S3."""
    egress: bool = True
    """Callers are outside AWS; in the region nothing is billed for what leaves."""
    gateway: bool = True
    """An API Gateway (REST) stands in front."""
    log_bytes: Decimal = Decimal(10_000)
    image_gb: Decimal = Decimal("0.5")
    """The container image's size in the registry."""
    memory_mb: int = 4096
    """Of Lambda and of serverless inference."""
    instance: str = "ml.g4dn.xlarge"
    concurrency: int = 1
    """Requests that one instance works on at a time."""
    hours: Decimal | None = None
    """Instance hours of the period; None counts the busy hours only, as the documents do."""
    kept_days: Decimal = Decimal(1)
    """How long pictures stay in S3."""
    months: Decimal = Decimal(1)
    answers: Decimal | None = None
    """Requests that are answered; None is all."""
    waits: Decimal | None = None
    """Seconds until an instance answers, where they were measured under load; None is `seconds`."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Decimal) and not (value.is_finite() and value >= 0):
                raise CostError(f"{name} is {value}: give a number from 0 on.")
        if self.concurrency < 1 or self.memory_mb < 1 or not self.months:
            raise CostError("concurrency is at least 1, memory at least 1 MB, and the period longer than none.")
        for name, known in (("request_encoding", (RAW, BASE64)), ("response_encoding", (RAW, BASE64)),
                            ("delivery", (RESPONSE, LINK))):  # fmt: skip
            if getattr(self, name) not in known:
                raise CostError(f"{name} is {getattr(self, name)}: choose {' or '.join(known)}.")

    @property
    def answered(self) -> Decimal:
        """How many answers are sent."""
        return self.requests if self.answers is None else self.answers

    @property
    def busy_hours(self) -> Decimal:
        """Instance hours if none were idle."""
        return self.requests * self.seconds / 3600 / self.concurrency

    @property
    def capacity(self) -> Decimal:
        """Requests that one instance can work through in the period."""
        return MONTH_HOURS * self.months * 3600 * self.concurrency / self.seconds if self.seconds else Decimal("Inf")


def encode_size(size: Decimal, encoding: str) -> Decimal:
    """Bytes on the wire: Base64 makes four of every three begun."""
    return 4 * round_up(size / 3) if encoding == BASE64 else size
