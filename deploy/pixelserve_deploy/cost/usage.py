"""From a profile to what the bill counts: one `Usage` a line, in the order of the documented tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from pixelserve_deploy.cost.amounts import format_grouped, format_measure, format_short, round_up
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.policy import Policy
from pixelserve_deploy.cost.profile import LINK, MONTH_HOURS, RESPONSE, UsageProfile, encode_size

GB = Decimal(10**9)
MILLION = Decimal(10**6)
THOUSAND = Decimal(1000)
LINK_BYTES = Decimal(1000)
"""An answer that is a link, or a request that names an object in S3."""
PER_MS_PLACES = 10
GB_SECOND = "GB-second"
DECIMAL_UNITS, BINARY_MEMORY = "decimal: 1 GB = 1e9 B", "binary memory: 1 GB = 1024 MB"
GATEWAY, LOGS, REGISTRY = "Amazon API Gateway", "Amazon CloudWatch Logs", "Amazon Elastic Container Registry"
SAGEMAKER, LAMBDA, S3 = "Amazon SageMaker", "AWS Lambda", "Amazon S3"


@dataclass(frozen=True)
class Usage:
    """A quantity and the price that it is multiplied with."""

    key: str
    service: str
    text: str
    price: tuple[str, str]
    """Service and dimension in the price book."""
    quantity: Decimal
    unit: str
    formula: str
    unit_system: str = DECIMAL_UNITS
    factor: Decimal | None = None
    """Makes the book's unit price, of GB-seconds, one of this unit, rounded to `PER_MS_PLACES`; None leaves it."""

    @property
    def price_unit(self) -> str:
        """The unit that the price has to have."""
        return self.unit if self.factor is None else GB_SECOND

    def plus(self, other: Usage) -> Usage:
        """Both of one price, as one."""
        return replace(self, quantity=self.quantity + other.quantity, formula=f"{self.formula} + {other.formula}")

    def counted(self, amount: Decimal) -> Decimal:
        """An amount in the price's unit, in this one."""
        return amount if self.factor is None else amount / self.factor


Meter = Callable[[UsageProfile, Policy], Usage | None]


def meter_calls(key: str, service: str, price: tuple[str, str]) -> Meter:
    """Counts requests by the million."""

    def meter(profile: UsageProfile, _policy: Policy) -> Usage:
        count = format_grouped(profile.requests)
        formula = f"{count} calls / 1e6"
        return Usage(key, service, f"{count} calls", price, profile.requests / MILLION, "1M requests", formula)

    return meter


def count_bytes(key: str, service: str, text: str, price: tuple[str, str], size: Decimal, requests: Decimal) -> Usage:
    """Bytes of every request, in GB."""
    formula = f"{format_grouped(requests)} x {format_grouped(size)} B / 1e9"
    return Usage(key, service, f"{format_size(size)} {text} per call", price, requests * size / GB, "GB", formula)


def meter_lambda_duration(profile: UsageProfile, policy: Policy) -> Usage:
    """Milliseconds, or GB-seconds, by the policy."""
    memory = Decimal(profile.memory_mb) / 1024
    text = f"{profile.memory_mb} MB, {format_grouped(profile.seconds)} s"
    price = ("AWSLambda", "duration")
    count, seconds = format_grouped(profile.requests), format_grouped(profile.seconds)
    if policy.rounded_per_ms:
        quantity = profile.requests * profile.seconds * 1000
        formula = f"{count} x {seconds} s x 1000"
        return Usage("lambda-duration", LAMBDA, text, price, quantity, "ms", formula, BINARY_MEMORY, memory / 1000)
    quantity = profile.requests * profile.seconds * memory
    formula = f"{count} x {seconds} s x {profile.memory_mb} MB / 1024"
    return Usage("lambda-duration", LAMBDA, text, price, quantity, GB_SECOND, formula, BINARY_MEMORY)


def meter_serverless(profile: UsageProfile, _policy: Policy) -> Usage:
    """GB-seconds of serverless inference."""
    quantity = profile.requests * profile.seconds * Decimal(profile.memory_mb) / 1024
    formula = (
        f"{format_grouped(profile.requests)} x {format_grouped(profile.seconds)} s x {profile.memory_mb} MB / 1024"
    )
    text = f"serverless, {profile.memory_mb} MB, {format_grouped(profile.seconds)} s"
    price = ("AmazonSageMaker", "serverless")
    return Usage("serverless", SAGEMAKER, text, price, quantity, GB_SECOND, formula, BINARY_MEMORY)


def meter_gateway_calls(profile: UsageProfile, policy: Policy) -> Usage | None:
    """Calls of the gateway, if there is one."""
    meter = meter_calls("gateway-requests", GATEWAY, ("AmazonApiGateway", "requests"))
    return meter(profile, policy) if profile.gateway else None


def meter_answers_out(profile: UsageProfile, policy: Policy) -> Usage | None:
    """What leaves AWS for the callers: by the gateway, or from S3 or the endpoint itself."""
    if not profile.egress:
        return None
    service = GATEWAY if profile.gateway and profile.delivery == RESPONSE else "AWS data transfer"
    size = measure_answer(profile, policy)
    return count_bytes("data-transfer-out", service, "out", ("AWSDataTransfer", "out"), size, profile.answered)


def meter_logs(profile: UsageProfile, _policy: Policy) -> Usage:
    """What is written to the log."""
    price = ("AmazonCloudWatch", "ingestion")
    return count_bytes("logs", LOGS, "of logs", price, profile.log_bytes, profile.requests)


def meter_registry(profile: UsageProfile, _policy: Policy) -> Usage:
    """The container image, kept for the period."""
    quantity = profile.image_gb * profile.months
    formula = f"{format_grouped(profile.image_gb)} GB x {format_grouped(profile.months)} months"
    text = f"{format_short(quantity)} GB-month"
    return Usage("registry", REGISTRY, text, ("AmazonECR", "storage"), quantity, "GB-month", formula)


def meter_instance_hours(kind: str) -> Meter:
    """Hours of the profile's instance; `kind` is hosting, async or batch."""

    def meter(profile: UsageProfile, policy: Policy) -> Usage:
        hours = profile.busy_hours if profile.hours is None else profile.hours
        formula = f"{format_grouped(hours)} h"
        if profile.hours is None:
            count, seconds = format_grouped(profile.requests), format_grouped(profile.seconds)
            formula = f"{count} x {seconds} s / 3600 / {profile.concurrency}"
            if policy.whole_hours:
                hours, formula = round_up(hours), f"{formula}, rounded up"
        text = f"{format_short(hours)} h {profile.instance}"
        price = ("AmazonSageMaker", f"{kind} {profile.instance}")
        return Usage("hosting", SAGEMAKER, text, price, hours, "hour", formula)

    return meter


def meter_data_in(profile: UsageProfile, policy: Policy) -> Usage:
    """What the endpoint takes in."""
    size = encode_size(profile.request_bytes, profile.request_encoding) if policy.base64 else profile.request_bytes
    return count_bytes("data-in", SAGEMAKER, "in", ("AmazonSageMaker", "data-in"), size, profile.requests)


def meter_data_out(profile: UsageProfile, policy: Policy) -> Usage:
    """What the endpoint answers."""
    size = LINK_BYTES if profile.delivery == LINK else measure_answer(profile, policy)
    return count_bytes("data-out", SAGEMAKER, "out", ("AmazonSageMaker", "data-out"), size, profile.answered)


def meter_async_data(profile: UsageProfile, _policy: Policy) -> Usage:
    """Asynchronous endpoints read and write S3 and bill both ways as one."""
    size = profile.request_bytes + profile.response_bytes
    price = ("AmazonSageMaker", "async-data")
    found = count_bytes("async-data", SAGEMAKER, "read and written", price, size, profile.requests)
    if profile.answered == profile.requests:
        return found
    unanswered = profile.requests - profile.answered
    less = f" - {format_grouped(unanswered)} x {format_grouped(profile.response_bytes)} B / 1e9"
    quantity = found.quantity - unanswered * profile.response_bytes / GB
    return replace(found, quantity=quantity, formula=found.formula + less)


def meter_objects(
    kind: str, text: str, count: Callable[[UsageProfile], int], images: Callable[[UsageProfile], Decimal]
) -> Meter:
    """Requests to S3; `count` is how many for one image, and `images` how many images have them."""

    def meter(profile: UsageProfile, _policy: Policy) -> Usage | None:
        times = count(profile)
        formula = f"{format_grouped(images(profile))} x {times} / 1000"
        quantity = images(profile) * times / THOUSAND
        usage = Usage(
            f"s3-{kind}", S3, f"{times} {text} per image", ("AmazonS3", kind), quantity, "1k requests", formula
        )
        return usage if times else None

    return meter


def meter_storage(size: Callable[[UsageProfile], Decimal], images: Callable[[UsageProfile], Decimal]) -> Meter:
    """Pictures that lie in S3; `size` is bytes for one image, and `images` how many lie there."""

    def meter(profile: UsageProfile, _policy: Policy) -> Usage | None:
        held = size(profile)
        days = format_grouped(profile.kept_days)
        formula = f"{format_grouped(images(profile))} x {format_grouped(held)} B / 1e9 x {days} x 24 / {MONTH_HOURS} h"
        quantity = images(profile) * held / GB * profile.kept_days * 24 / MONTH_HOURS
        usage = Usage(
            "s3-storage",
            S3,
            f"pictures kept for {days} day{'s' * (profile.kept_days != 1)}",
            ("AmazonS3", "storage"),
            quantity,
            "GB-month",
            formula,
        )
        return usage if held else None

    return meter


def measure_answer(profile: UsageProfile, policy: Policy) -> Decimal:
    """Bytes that reach the caller for one request: from S3 a picture is never in Base64."""
    if profile.delivery == LINK:
        return profile.response_bytes + (0 if profile.mode == "batch" else LINK_BYTES)
    return encode_size(profile.response_bytes, profile.response_encoding) if policy.base64 else profile.response_bytes


def _count_requests(profile: UsageProfile) -> Decimal:
    return profile.requests


def _count_answers(profile: UsageProfile) -> Decimal:
    return profile.answered


def _count_links(profile: UsageProfile) -> int:
    return 1 if profile.delivery == LINK else 0


FRONT: tuple[Meter, ...] = (meter_gateway_calls, meter_answers_out, meter_logs, meter_registry)
LINKED: tuple[Meter, ...] = (
    meter_objects("put", "PUT", _count_links, _count_answers),
    meter_objects("get", "GET", _count_links, _count_answers),
    meter_storage(lambda profile: profile.response_bytes * _count_links(profile), _count_answers),
)
FROM_S3: tuple[Meter, ...] = (
    meter_objects("put", "PUT", lambda _profile: 2, _count_requests),
    meter_objects("get", "GET", lambda _profile: 2, _count_requests),
    meter_storage(lambda profile: profile.request_bytes + profile.response_bytes, _count_requests),
)
HOSTED: tuple[Meter, ...] = (*FRONT, meter_instance_hours("hosting"), meter_data_in, meter_data_out, *LINKED)
METERS: dict[str, tuple[Meter, ...]] = {
    "realtime": HOSTED,
    "autoscaled": HOSTED,
    "async": (*FRONT, meter_instance_hours("async"), meter_async_data, *FROM_S3),
    "serverless": (*FRONT, meter_serverless, meter_data_in, meter_data_out, *LINKED),
    "lambda": (
        meter_calls("lambda-requests", LAMBDA, ("AWSLambda", "requests")),
        meter_lambda_duration,
        *FRONT,
        *LINKED,
    ),
    "batch": (meter_answers_out, meter_logs, meter_registry, meter_instance_hours("batch"), *FROM_S3),
}


def list_usages(profile: UsageProfile, policy: Policy) -> list[Usage]:
    """What the profile's mode is billed for. Raises CostError for an unknown mode."""
    if profile.mode not in METERS:
        raise CostError(f"There is no mode {profile.mode}. Modes: {', '.join(METERS)}.")
    found = [meter(profile, policy) for meter in METERS[profile.mode]]
    return [usage for usage in found if usage is not None]


def format_size(size: Decimal) -> str:
    """Bytes in the unit that fits: 4 MB, 50 B."""
    for unit, step in (("GB", GB), ("MB", MILLION), ("KB", THOUSAND)):
        if size >= step:
            return f"{format_measure(size / step)} {unit}"
    return f"{format_grouped(size)} B"
