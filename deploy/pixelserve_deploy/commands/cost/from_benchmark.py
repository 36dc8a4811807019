"""What a thousand images cost at the speed of a benchmark, within a latency, with a 95 % interval.

Every load of pictures in the file that meets the target is listed, the fastest first: that one is the answer.
"""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

from pixelserve_deploy.cost import (
    P99,
    PERCENTILES,
    Benchmark,
    Price1000,
    find_book,
    find_newest_book,
    format_grouped,
    format_plain,
    price_thousand,
    read_benchmark,
    select_images,
    select_within,
    views,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_report, parse_number, parse_part, write_report
from pixelserve_deploy.reports import Report, Table

EXAMPLES = """\
  pixelserve cost from-benchmark benchmarks/results/pipeline.json --instance ml.c6i.xlarge
  pixelserve cost from-benchmark benchmarks/results/pipeline.json --instance ml.c6i.xlarge --scale 4 --latency 5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", type=Path, metavar="RESULT", help="a result of docs/benchmarks.md")
    parser.add_argument("--instance", metavar="TYPE",
                        help="what the machine is priced as (default: that which was measured on)")  # fmt: skip
    parser.add_argument("--scale", type=int, choices=(2, 4), default=2, help="of super-resolution (default 2)")
    parser.add_argument("--latency", type=parse_number, metavar="S", help="the most that is accepted (default: any)")
    parser.add_argument("--percentile", choices=PERCENTILES, help="of the latency (default p99)")
    parser.add_argument("--utilisation", type=parse_part, default=Decimal("0.7"), metavar="PART",
                        help="how full instances are driven (default 70%%)")  # fmt: skip
    parser.add_argument("--region", default="us-east-2", help="default us-east-2")
    parser.add_argument("--book", metavar="ID", help="a price book's id or file (default: the newest of the region)")
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.utilisation <= 1:
        raise UsageError("--utilisation is above 0 and at most 100%")
    if arguments.percentile and arguments.latency is None:
        raise UsageError("--percentile goes with --latency")
    book = find_book(arguments.book) if arguments.book else find_newest_book(arguments.region)
    benchmark = select_images(read_benchmark(arguments.result), arguments.scale)
    instance = _choose_instance(arguments.instance, benchmark)
    hour = book.price("AmazonSageMaker", arguments.region, f"hosting {instance}")
    rows = select_within(benchmark, arguments.latency, arguments.percentile or P99)
    prices = [price_thousand(row, hour.first, arguments.utilisation) for row in rows]
    status = f"! {hour.status}" if hour.marked else hour.status
    notes = (
        f"{instance} at {format_plain(hour.first)} {book.currency} an hour ({hour.as_of}), "
        f"working {format_grouped(100 * arguments.utilisation)} % of its time.",
        *(() if benchmark.instance else ("The machine measured is not that instance unless you measured there.",)),
    )
    section = views.build_benchmark_section(benchmark, prices, book.currency, instance, status, notes)
    rows_of = [_fields(price) for price in prices]
    data = {
        "benchmark": benchmark.name,
        "measured_on": benchmark.machine,
        "currency": book.currency,
        "instance": instance,
        "status": hour.status,
        "rows": rows_of,
    }
    head = {"instance": instance, "currency": book.currency, "status": hour.status}
    flat = Table((*head, *rows_of[0]), tuple((*head.values(), *row.values()) for row in rows_of))
    write_report(Report("Cost from a benchmark", (section,), data, flat), arguments)
    return 0


def _choose_instance(given: str | None, benchmark: Benchmark) -> str:
    """What is priced. Raises UsageError where nobody says, or it was measured on another."""
    if given is None and benchmark.instance is None:
        raise UsageError(f"give --instance: {benchmark.machine} is no instance of SageMaker's")
    if benchmark.instance and given not in (None, benchmark.instance):
        raise UsageError(f"--instance {given}: it was measured on {benchmark.instance}, and says nothing of another")
    return given or benchmark.instance or ""


def _fields(price: Price1000) -> dict[str, str]:
    amounts = {"per_thousand": price.amount, "low": price.low, "high": price.high, "images_per_second": price.row.rate}
    return {"load": price.row.label, **{name: format_plain(value) for name, value in amounts.items()}}
