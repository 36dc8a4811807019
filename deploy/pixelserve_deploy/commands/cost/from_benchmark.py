"""What a thousand images cost at the speed of a benchmark, within a latency, with a 95 % interval: the instance alone.

Every load of pictures in the file that meets the target is listed, the fastest first: that one is the answer. Data,
traffic and logs are in `pixelserve cost estimate --measured RESULT`.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from pixelserve_deploy.cost import (
    P99,
    PERCENTILES,
    SCALE,
    SUPER_RESOLUTION,
    Benchmark,
    Price1000,
    Row,
    Workload,
    build_assumptions_section,
    choose_book,
    format_percent,
    format_plain,
    list_circumstances,
    load_models,
    price_thousand,
    read_benchmark,
    require_given_used,
    select_images,
    select_within,
    views,
)
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import add_prices, add_report, add_utilisation, name_option, parse_number, write_report
from pixelserve_deploy.reports import Report, Table

EXAMPLES = """\
  pixelserve cost from-benchmark benchmarks/results/pipeline.json --instance ml.c6i.xlarge
  pixelserve cost from-benchmark benchmarks/results/pipeline.json --instance ml.c6i.xlarge --scale 4 --latency 5
"""
COUNTED = "the instance alone"
KEPT = ("latency", "percentile", "utilisation", "region", "book")
"""Options that the whole bill takes as they are."""
NEAREST = "human-image-segmentation"
"""To a model of one's own: it answers a picture, and takes as long for every size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("result", type=Path, metavar="RESULT", help="a result of docs/benchmarks.md")
    parser.add_argument("--instance", metavar="TYPE",
                        help="what the machine is priced as (default: that which was measured on)")  # fmt: skip
    parser.add_argument("--scale", type=int, choices=(2, 4),
                        help=f"of super-resolution (default: the rows' own, of several {SCALE})")  # fmt: skip
    parser.add_argument("--latency", type=parse_number, metavar="S", help="the most that is accepted (default: any)")
    parser.add_argument("--percentile", choices=PERCENTILES, help="of the latency (default p99)")
    add_utilisation(parser)
    add_prices(parser)
    add_report(parser)


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.utilisation <= 1:
        raise UsageError("--utilisation is above 0 and at most 100%")
    if arguments.percentile and arguments.latency is None:
        raise UsageError("--percentile goes with --latency")
    book = choose_book(arguments.book, arguments.region, arguments.prices)
    measured = read_benchmark(arguments.result)
    benchmark = select_images(measured, _choose_scale(arguments.scale, measured))
    instance = _choose_instance(arguments.instance, benchmark)
    hour = book.price("AmazonSageMaker", arguments.region, f"hosting {instance}")
    require_given_used(book, [hour])
    rows = select_within(benchmark, arguments.latency, arguments.percentile or P99)
    prices = [price_thousand(row, hour.first, arguments.utilisation) for row in rows]
    status = f"! {hour.status}" if hour.marked else hour.status
    notes = (
        f"A thousand images are {COUNTED}; data, traffic and logs too: "
        f"{shlex.join(_ask_whole_bill(arguments, benchmark, rows[0]))}",
        *(("Images/s are one instance's, of all that answered together.",) if benchmark.instances > 1 else ()),
        *(() if benchmark.instance else ("The machine measured is not that instance unless you measured there.",)),
    )
    said = {
        "counted": COUNTED,
        "instances": f"{instance} at {format_plain(hour.first)} {book.currency} an hour ({hour.as_of}), driven at "
        f"{format_percent(arguments.utilisation)}",
        "measured on": benchmark.machine,
        "pictures": "as they were measured",
        **list_circumstances(book, arguments.region, arguments.words),
    }
    section = views.build_benchmark_section(benchmark, prices, book.currency, instance, status, notes)
    rows_of = [_fields(price) for price in prices]
    data = {
        "benchmark": benchmark.name,
        "measured_on": benchmark.machine,
        "currency": book.currency,
        "instance": instance,
        "status": hour.status,
        "counted": COUNTED,
        "rows": rows_of,
        "assumptions": said,
    }
    head = {"instance": instance, "currency": book.currency, "status": hour.status}
    flat = Table((*head, *rows_of[0]), tuple((*head.values(), *row.values()) for row in rows_of))
    sections = (section, build_assumptions_section(said))
    write_report(Report("Cost from a benchmark", sections, data, flat), arguments)
    return 0


def _ask_whole_bill(arguments: argparse.Namespace, benchmark: Benchmark, row: Row) -> list[str]:
    """The command line of the whole bill at the row's speed and sizes. A model of one's own is called `NEAREST`."""
    endpoint = row.endpoint.replace("_", "-")
    model = SUPER_RESOLUTION if row.scale else endpoint if endpoint in load_models() else NEAREST
    said = {
        "model": model,
        "scale": row.scale,
        "response_bytes": row.sizes.get("answer"),
        "instance": None if benchmark.instance else arguments.instance,
        **{name: getattr(arguments, name) for name in KEPT},
    }
    if model == SUPER_RESOLUTION and row.pixels:  # its times are in proportion to them
        said["megapixels"] = row.pixels / 10**6
    else:
        said["request_bytes"] = row.sizes.get("request")
    words = ["pixelserve", "cost", "estimate", "--measured", str(arguments.result)]
    for name, value in said.items():
        if value not in (None, getattr(Workload, name)):
            words += [name_option(name), str(value)]
    for name, amount in arguments.prices:
        words += [name_option("prices"), f"{name}={amount}"]
    return words


def _choose_scale(given: int | None, benchmark: Benchmark) -> int:
    """The scale of the rows that count. Raises UsageError for one that is given where no row has any."""
    scales = {row.scale for row in benchmark.rows if row.image and row.scale}
    if given and not scales:
        raise UsageError(f"--scale {given}: no row of {benchmark.name} has a scale, so leave it out")
    return given or (scales.pop() if len(scales) == 1 else SCALE)


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
