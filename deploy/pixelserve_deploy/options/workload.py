"""The options that describe a workload, and the workload of a command line."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

from pixelserve_deploy.cost import (
    BASE64,
    CODECS,
    PERCENTILES,
    POLICIES,
    RAW,
    Question,
    Workload,
    WorkloadError,
    build_question,
    load_models,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options.numbers import parse_number, parse_part, parse_size

DEFAULTS = Workload()
OPTIONS = {"memory_mb": "--memory", "tiers": "--no-tiers", "prices": "--price"}
"""Options that are not called as their fields."""


def add_workload(parser: argparse.ArgumentParser) -> None:
    """The options of a job in any mode."""
    add_simulated_workload(parser, "a month (default 1M)")
    modes = parser.add_argument_group("the modes")
    modes.add_argument("--cpu-seconds", type=parse_number, metavar="S", help="of one request on Lambda or serverless")
    modes.add_argument("--memory", dest="memory_mb", type=int, metavar="MB", help="of Lambda and serverless")
    modes.add_argument("--instances", type=int, metavar="N", help="always on (default: as many as the load needs)")
    modes.add_argument("--starts-a-day", type=parse_number, default=DEFAULTS.starts_a_day, metavar="N",
                       help="how often an asynchronous endpoint wakes from zero (default 8)")  # fmt: skip


def add_simulated_workload(parser: argparse.ArgumentParser, requests: str) -> None:
    """The options of a job on instances that a simulation scales; `requests` explains --requests."""
    parser.set_defaults(cpu_seconds=None, memory_mb=None, instances=None, starts_a_day=DEFAULTS.starts_a_day)
    job = parser.add_argument_group("the job")
    job.add_argument("--model", default=DEFAULTS.model, metavar="NAME",
                     help=f"whose sizes and seconds to begin with: {', '.join(load_models())}")  # fmt: skip
    job.add_argument("--requests", type=parse_number, default=DEFAULTS.requests, metavar="N", help=requests)
    job.add_argument("--request-bytes", type=parse_size, metavar="SIZE", help="one image sent, e.g. 1MB")
    job.add_argument("--megapixels", type=parse_number, metavar="N", help="the same as a JPEG of so many pixels")
    job.add_argument("--response-bytes", type=parse_size, metavar="SIZE",
                     help="one answer, before Base64 (default: documented, in proportion to the request)")  # fmt: skip
    job.add_argument("--codec", choices=CODECS, help="the answer's size as measured for this codec, not as documented")
    job.add_argument(
        "--scale",
        type=int,
        choices=(2, 4),
        help="the factor of super-resolution (default 2)",
    )
    job.add_argument("--encoding", choices=(RAW, BASE64), help="of the answer: raw bytes (default), or Base64 in JSON")
    job.add_argument(
        "--request-encoding",
        choices=(RAW, BASE64),
        default=DEFAULTS.request_encoding,
        help="of the request (default raw)",
    )
    job.add_argument(
        "--log-bytes", type=parse_size, default=DEFAULTS.log_bytes, metavar="SIZE", help="a request (default 10KB)"
    )
    job.add_argument("--link", action="store_true", help="the answer is a link to S3, where the picture lies for a day")
    job.add_argument(
        "--in-region", action="store_true", help="callers are in the region: nothing is billed for leaving"
    )
    job.add_argument("--gateway", action="store_true", help="through API Gateway (default: the endpoint itself)")
    job.add_argument("--documented", action="store_true",
                     help="as the documents have it: through API Gateway, pictures in Base64")  # fmt: skip
    machine = parser.add_argument_group("the machine")
    machine.add_argument("--instance", metavar="TYPE", help="e.g. ml.g4dn.xlarge")
    machine.add_argument("--seconds", type=parse_number, metavar="S", help="of one request on the instance")
    machine.add_argument("--measured", type=Path, metavar="RESULT", help="the same, from a benchmark's JSON")
    machine.add_argument("--latency", type=parse_number, metavar="S", help="with --measured: the most that is accepted")
    machine.add_argument("--percentile", choices=PERCENTILES, help="of the latency (default p99)")
    machine.add_argument(
        "--concurrency", type=int, default=DEFAULTS.concurrency, metavar="N", help="requests at a time (default 1)"
    )
    add_utilisation(machine)
    prices = parser.add_argument_group("the prices")
    add_prices(prices)
    prices.add_argument("--policy", default=DEFAULTS.policy, help=f"{', '.join(POLICIES)} (default {DEFAULTS.policy})")
    prices.add_argument("--no-tiers", dest="tiers", action="store_false", help="the first tier's price for all")
    prices.add_argument("--free-tier", action="store_true", help="take off what every month has free")


def add_utilisation(parser: argparse._ActionsContainer) -> None:
    """--utilisation, as every bill has it."""
    parser.add_argument("--utilisation", type=parse_part, default=DEFAULTS.utilisation, metavar="PART",
                        help="how full instances are driven (default 70%%)")  # fmt: skip


def add_prices(parser: argparse._ActionsContainer) -> None:
    """--region, --book and --price."""
    parser.add_argument("--region", default=DEFAULTS.region, help=f"default {DEFAULTS.region}")
    parser.add_argument("--book", metavar="ID", help="a price book's id or file (default: the newest of the region)")
    parser.add_argument("--price", dest="prices", action="append", default=[], type=parse_price, metavar="NAME=AMOUNT",
                        help="such as AmazonSageMaker/hosting/ml.g5.xlarge=1.2")  # fmt: skip


def read_workload(arguments: argparse.Namespace) -> Workload:
    """The workload of the options. Raises UsageError for options that contradict each other."""
    with naming_options():
        given = {field.name: getattr(arguments, field.name) for field in fields(Workload)}
        return Workload(**{**given, "prices": tuple(arguments.prices)})


def read_question(arguments: argparse.Namespace, mode: str | None = None) -> tuple[Workload, Question]:
    """The workload of the options and its question; with a mode, options that it does not heed are refused."""
    workload = read_workload(arguments)
    with naming_options():
        if mode is not None:
            workload.require_heeded(mode)
        return workload, build_question(workload)


@contextlib.contextmanager
def naming_options() -> Iterator[None]:
    """Makes refusals of a workload's fields those of the options that set them: UsageError for WorkloadError."""
    try:
        yield
    except WorkloadError as error:
        raise UsageError(error.sentence.format(*map(name_option, error.fields))) from None


def name_option(field: str) -> str:
    """The option that sets a field."""
    return OPTIONS.get(field, f"--{field.replace('_', '-')}")


def parse_price(text: str) -> tuple[str, Decimal]:
    """NAME=AMOUNT, an amount a unit as the price's name has it."""
    name, found, amount = text.partition("=")
    if not (name and found):
        raise argparse.ArgumentTypeError(f"{text!r} is no price: write NAME=AMOUNT")
    return name, parse_number(amount)


def tell_prices(names: Sequence[str]) -> str:
    """How to give prices that are missing."""
    options = " ".join(f"--price {name}=AMOUNT" for name in names)
    return f"Give them: {options}; or a price book of your own with --book FILE (docs/cost.md)."
