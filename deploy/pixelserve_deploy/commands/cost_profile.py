"""The options that describe a job, for `estimate`, `compare` and `simulate`."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pixelserve_deploy.commands import UsageError
from pixelserve_deploy.cost.comparison import Question
from pixelserve_deploy.cost.defaults import CODECS, ModelDefaults, answer_bytes, model, models, picture_bytes, pixels
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.measured import PERCENTILES, Row, of_images, read, within
from pixelserve_deploy.cost.modes import INSTANCE, MEMORY, MODES, Scaling, reasons
from pixelserve_deploy.cost.policy import EXACT, POLICIES, policy_of
from pixelserve_deploy.cost.pricebook import book_of, newest
from pixelserve_deploy.cost.profile import BASE64, LINK, RAW, RESPONSE, UsageProfile

SUPER_RESOLUTION = "image-super-resolution"
LARGEST = Decimal(10**12)
STEPS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def number(text: str) -> Decimal:
    """1000000, 1,000,000, 1e6, 1M or 250k."""
    found = re.fullmatch(r"((?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?:e[+-]?\d{1,3})?) ?([kmg]?)", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no number: write 1000000, 1e6, 1M or 250k")
    value = Decimal(found[1].replace(",", "")) * STEPS[found[2]]
    if value > LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is too large: {LARGEST:,f} is the most")
    return value


def size(text: str) -> Decimal:
    """Bytes: 1MB, 100KB or 123456; units are decimal."""
    try:
        return number(re.sub(r"b$", "", text.strip().lower()))
    except argparse.ArgumentTypeError as error:
        if "too large" in str(error):
            raise
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 1MB, 100KB or a number of bytes") from None


def part(text: str) -> Decimal:
    """10% or 0.1."""
    percent = text.strip().endswith("%")
    try:
        value = Decimal(text.strip().rstrip("%"))
        if not value.is_finite() or abs(value) > LARGEST:
            raise InvalidOperation
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no part: write 10% or 0.1") from None
    return value / 100 if percent else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a job in any mode."""
    add_simulated(parser, "a month (default 1M)")
    modes = parser.add_argument_group("the modes")
    modes.add_argument("--cpu-seconds", type=number, metavar="S", help="of one request on Lambda or serverless")
    modes.add_argument("--memory", type=int, metavar="MB", help="of Lambda and serverless")
    modes.add_argument("--instances", type=int, metavar="N", help="always on (default: as many as the load needs)")
    modes.add_argument("--starts-a-day", type=number, default=Decimal(8), metavar="N",
                       help="how often an asynchronous endpoint wakes from zero (default 8)")  # fmt: skip


def add_simulated(parser: argparse.ArgumentParser, requests: str) -> None:
    """The options of a job on instances that a simulation scales; `requests` explains --requests."""
    parser.set_defaults(cpu_seconds=None, memory=None, instances=None, starts_a_day=Decimal(8))
    job = parser.add_argument_group("the job")
    job.add_argument("--model", default=SUPER_RESOLUTION, metavar="NAME",
                     help=f"whose sizes and seconds to begin with: {', '.join(models())}")  # fmt: skip
    job.add_argument("--requests", type=number, default=Decimal(10**6), metavar="N", help=requests)
    job.add_argument("--request-bytes", type=size, metavar="SIZE", help="one image sent, e.g. 1MB")
    job.add_argument("--megapixels", type=number, metavar="N", help="the same as a JPEG of so many pixels")
    job.add_argument("--response-bytes", type=size, metavar="SIZE", help="one answer, before Base64")
    job.add_argument("--codec", choices=CODECS, help="the answer's size as measured for this codec, not as documented")
    job.add_argument(
        "--scale", type=int, choices=(2, 4), default=2, help="the factor, of --codec and --measured (default 2)"
    )
    job.add_argument("--encoding", choices=(RAW, BASE64), help="of the answer: raw bytes, or Base64 in JSON")
    job.add_argument("--request-encoding", choices=(RAW, BASE64), default=RAW, help="of the request (default raw)")
    job.add_argument("--log-bytes", type=size, default=Decimal(10_000), metavar="SIZE", help="a request (default 10KB)")
    job.add_argument("--link", action="store_true", help="the answer is a link to S3, where the picture lies for a day")
    job.add_argument(
        "--in-region", action="store_true", help="callers are in the region: nothing is billed for leaving"
    )
    job.add_argument("--no-gateway", action="store_true", help="without an API Gateway in front")
    machine = parser.add_argument_group("the machine")
    machine.add_argument("--instance", metavar="TYPE", help="e.g. ml.g4dn.xlarge")
    machine.add_argument("--seconds", type=number, metavar="S", help="of one request on the instance")
    machine.add_argument("--measured", type=Path, metavar="RESULT", help="the same, from a benchmark's JSON")
    machine.add_argument("--latency", type=number, metavar="S", help="with --measured: the most that is accepted")
    machine.add_argument("--percentile", choices=PERCENTILES, default="p99", help="of the latency (default p99)")
    machine.add_argument("--concurrency", type=int, default=1, metavar="N", help="requests at a time (default 1)")
    machine.add_argument("--utilisation", type=part, default=Decimal("0.7"), metavar="PART",
                         help="how full instances are driven (default 70%%)")  # fmt: skip
    prices = parser.add_argument_group("the prices")
    prices.add_argument("--region", default="us-east-2", help="default us-east-2")
    prices.add_argument("--book", metavar="ID", help="a price book's id or file (default: the newest of the region)")
    prices.add_argument("--policy", default=EXACT.name, help=f"{', '.join(POLICIES)} (default {EXACT.name})")
    prices.add_argument("--no-tiers", action="store_true", help="the first tier's price for all")
    prices.add_argument("--free-tier", action="store_true", help="take off what every month has free")


def question_of(arguments: argparse.Namespace) -> Question:
    """The job of the options, to be priced in any mode. Raises UsageError for options that contradict each other."""
    _check(arguments)
    known = model(arguments.model)
    profile = _profile(arguments, known)
    row = measured_row(arguments, profile.request_bytes)
    if row is not None:
        profile = replace(profile, waits=row.times[arguments.percentile])
    seconds = row.seconds if row else arguments.seconds or known.seconds
    policy = policy_of(arguments.policy)
    return Question(
        profile=profile,
        seconds={INSTANCE: seconds, MEMORY: arguments.cpu_seconds or known.cpu_seconds},
        book=book_of(arguments.book) if arguments.book else newest(arguments.region),
        policy=replace(policy, tiers=False) if arguments.no_tiers else policy,
        scaling=Scaling(arguments.utilisation, arguments.instances, arguments.starts_a_day),
        free_tier=arguments.free_tier,
    )


def possible(question: Question, mode: str) -> UsageProfile:
    """The job in a mode. Raises CostError with the reasons why it cannot run there."""
    profile = question.placed(mode)
    against = reasons(profile)
    if against:
        raise CostError(f"{MODES[mode].title}: {'; '.join(against)}. `pixelserve cost compare` shows what can.")
    return profile


def measured_row(arguments: argparse.Namespace, request_bytes: Decimal) -> Row | None:
    """The load of --measured that counts: the fastest within the latency, its times in proportion to the pixels."""
    if arguments.measured is None:
        return None
    scale = arguments.scale if model(arguments.model).name == SUPER_RESOLUTION else None
    benchmark = of_images(read(arguments.measured), scale)
    scaled = replace(benchmark, rows=tuple(row.at(pixels(request_bytes)) for row in benchmark.rows))
    return within(scaled, arguments.latency, arguments.percentile)[0]


def free_notes(question: Question) -> list[str]:
    """Says so where --free-tier takes nothing off."""
    if not question.free_tier or question.book.free:
        return []
    return [f"The price book {question.book.id} has no free allowances: --free-tier takes nothing off."]


def measured_note(arguments: argparse.Namespace, request_bytes: Decimal) -> str | None:
    """What the seconds of --measured rest on."""
    row = measured_row(arguments, request_bytes)
    if row is None:
        return None
    scaled = ", in proportion to the pixels" if row.pixels else ""
    return f"Measured on {read(arguments.measured).machine}: {row.label}{scaled}."


def _check(arguments: argparse.Namespace) -> None:
    for one, other in (("request_bytes", "megapixels"), ("response_bytes", "codec"), ("seconds", "measured")):
        if getattr(arguments, one) is not None and getattr(arguments, other) is not None:
            raise UsageError(f"--{one.replace('_', '-')} or --{other}, not both")
    if arguments.latency is not None and arguments.measured is None:
        raise UsageError("--latency goes with --measured")
    if arguments.measured is not None and arguments.concurrency != 1:
        raise UsageError("--measured or --concurrency, not both: the measured rate has what runs at a time")
    if not 0 < arguments.utilisation <= 1:
        raise UsageError("--utilisation is above 0 and at most 100%")
    for name in ("seconds", "cpu_seconds", "memory", "instances", "megapixels", "concurrency"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name.replace('_', '-')} is above 0")


def _profile(arguments: argparse.Namespace, known: ModelDefaults) -> UsageProfile:
    sent = picture_bytes(arguments.megapixels) if arguments.megapixels is not None else arguments.request_bytes
    sent = known.request_bytes if sent is None else sent
    answered = known.response_bytes if arguments.response_bytes is None else arguments.response_bytes
    if arguments.codec:
        if known.name != SUPER_RESOLUTION:
            raise UsageError("--codec knows the answers of image-super-resolution; give --response-bytes")
        answered = answer_bytes(sent, arguments.scale, arguments.codec)
    encoding = arguments.encoding or (RAW if arguments.codec else known.response_encoding)
    return UsageProfile(
        mode="realtime",
        region=arguments.region,
        requests=arguments.requests,
        seconds=known.seconds or Decimal(0),
        request_bytes=sent,
        response_bytes=answered,
        request_encoding=arguments.request_encoding,
        response_encoding=encoding,
        delivery=LINK if arguments.link else RESPONSE,
        egress=not arguments.in_region,
        gateway=not arguments.no_gateway,
        log_bytes=arguments.log_bytes,
        memory_mb=arguments.memory or known.memory_mb,
        instance=arguments.instance or known.instance,
        concurrency=arguments.concurrency,
    )
