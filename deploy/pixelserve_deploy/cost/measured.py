"""From a benchmark's result to money: what a thousand images cost at a latency that callers accept.

Only rows that are this project's answers to pictures count, and of super-resolution only those of the job's scale.
The rate of a row is that of its load, not the machine's last: among the rows whose chosen percentile stays within the
target, the fastest counts. The interval is that of the mean time per image at 95 %: its spread is estimated from the
percentiles (a normal's, the wider of both), so an autocorrelated run looks surer than it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pixelserve_deploy.cost.amounts import format_grouped
from pixelserve_deploy.cost.errors import CostError

SCHEMA = "pixelserve-benchmark/1"
RATES = ("images_per_second", "requests_per_second", "per_second")
PERCENTILES = ("p50", "p90", "p99", "max")
NORMAL = {"p90": Decimal("1.2816"), "p99": Decimal("2.3263")}
"""Standard deviations from the median to these percentiles."""
SURE = Decimal("1.96")


@dataclass(frozen=True)
class Row:
    """One measured load."""

    label: str
    rate: Decimal
    """Images per second of one instance."""
    mean: Decimal
    times: Mapping[str, Decimal]
    """Seconds by `PERCENTILES`."""
    count: int
    pixels: Decimal | None
    """Of one image sent; None where the result does not say."""
    image: bool = True
    """Whether this project's server answered pictures, in place of another one or of other requests."""
    scale: int | None = None
    """Of super-resolution."""
    endpoint: str = ""
    """What was measured, where the result says so."""
    sizes: Mapping[str, Decimal] = field(default_factory=dict)
    """Bytes of a `request` and of an `answer`, where the result says so."""

    def at(self, pixels: Decimal) -> Row:
        """The row for images of so many pixels, its times in proportion; itself where its sizes are not known."""
        if self.pixels is None:
            return self
        times = pixels / self.pixels
        longer = {name: seconds * times for name, seconds in self.times.items()}
        return replace(self, rate=self.rate / times, mean=self.mean * times, times=longer)

    @property
    def error(self) -> Decimal:
        """Half the 95 % interval of the mean time, as a part of it."""
        spread = max((self.times[name] - self.times["p50"]) / width for name, width in NORMAL.items())
        return SURE * max(spread, Decimal(0)) / Decimal(self.count).sqrt() / self.mean

    @property
    def seconds(self) -> Decimal:
        """Of machine time for one image."""
        return 1 / self.rate


@dataclass(frozen=True)
class Benchmark:
    """A result file; `machine` says on what it was measured."""

    name: str
    date: str
    machine: str
    rows: tuple[Row, ...]
    instance: str | None = None
    """Of SageMaker, where it was measured on one."""
    instances: int = 1
    """Of them, which answered together."""


@dataclass(frozen=True)
class Price1000:
    """What a thousand images cost, and between what."""

    row: Row
    amount: Decimal
    low: Decimal
    high: Decimal


def read_benchmark(path: Path) -> Benchmark:
    """The benchmark of a file. Raises CostError naming what it lacks."""
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CostError(f"Cannot read {path}: {error}.") from None
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        raise CostError(f'{path} is no result of a benchmark: it lacks "schema": "{SCHEMA}". See docs/benchmarks.md.')
    try:
        machine = fields["machine"]
        instances = _count_instances(machine)
        rows = tuple(_row(row, instances) for row in fields["rows"] if _has_times(row))
        benchmark = Benchmark(
            fields["name"],
            fields["date"],
            _name_machine(machine, instances),
            rows,
            machine.get("instance"),
            instances,
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise CostError(f"{path} is not in the form of docs/benchmarks.md: {error!r}.") from None
    if not rows:
        raise CostError(f"{path} has no rows with seconds per image. Give a result like pipeline.json.")
    return benchmark


def select_images(benchmark: Benchmark, scale: int | None) -> Benchmark:
    """The rows that are pictures, at the scale if they have one. Raises CostError naming what would do."""
    rows = tuple(row for row in benchmark.rows if row.image and row.scale in (None, scale))
    if rows:
        return replace(benchmark, rows=rows)
    wanted = "no scale" if scale is None else f"scale {scale} or none"
    raise CostError(
        f"{benchmark.name} has no row that prices this job. Rows that do have images_per_second, or width and height "
        f"in sizes, and {wanted}; no task, no body, and no server but pixelserve. Give a result like pipeline.json."
    )


def select_within(benchmark: Benchmark, latency: Decimal | None, percentile: str) -> list[Row]:
    """The rows that meet the target, fastest first. Raises CostError with the best when none does."""
    rows = sorted(benchmark.rows, key=lambda row: -row.rate)
    fit = [row for row in rows if latency is None or row.times[percentile] <= latency]
    if not fit:
        best = min(rows, key=lambda row: row.times[percentile])
        raise CostError(
            f"No row of {benchmark.name} has a {percentile} of {latency} s or less; the best has "
            f"{format_grouped(best.times[percentile])} s ({best.label}). Measure with fewer connections, send smaller "
            "pictures, or allow more."
        )
    return fit


def price_thousand(row: Row, hourly: Decimal, utilisation: Decimal) -> Price1000:
    """The instance's price alone for a thousand images at the row's rate, with the part of its time that it works."""
    amount = hourly / 3600 / row.rate / utilisation * 1000
    return Price1000(row, amount, amount * max(1 - row.error, Decimal(0)), amount * (1 + row.error))


def _has_times(row: Any) -> bool:
    return isinstance(row, dict) and "count" in row.get("seconds", {})


def _count_instances(machine: Mapping[str, Any]) -> int:
    """How many answered; a result that does not say has one."""
    count = machine.get("instances", 1)
    if type(count) is not int or count < 1:
        raise ValueError(f"machine.instances is {count!r}, and no number from 1 on")
    return count


def _name_machine(machine: Mapping[str, Any], instances: int) -> str:
    name = machine.get("instance") or f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores"
    return name if instances == 1 else f"{instances} x {name}"


def _row(fields: Mapping[str, Any], instances: int) -> Row:
    seconds = fields["seconds"]
    mean = Decimal(str(seconds["mean"]))
    rate = next((Decimal(str(fields[name])) for name in RATES if name in fields), 1 / mean)
    if rate <= 0 or mean <= 0 or seconds["count"] < 1:
        raise ValueError("a rate that is not above 0")
    label = ", ".join(
        f"{key} {value}" for key, value in fields.items() if isinstance(value, str | int) and key != "failures"
    )
    times = {name: Decimal(str(seconds[name])) for name in PERCENTILES}
    if not all(value.is_finite() for value in (rate, mean, *times.values())):
        raise ValueError("a rate or time that is no finite number")
    sizes = fields.get("sizes", {})
    pixels = sizes["width"] * sizes["height"] if "width" in sizes else sizes.get("pixels")
    return Row(
        label,
        rate / instances,
        mean,
        times,
        int(seconds["count"]),
        pixels and Decimal(pixels),
        _answers_images(fields),
        fields.get("scale"),
        str(fields.get("endpoint", "")),
        {name: Decimal(sizes[name]) for name in ("request", "answer") if name in sizes},
    )


def _answers_images(fields: Mapping[str, Any]) -> bool:
    """Whether a row is of whole answers to pictures: not of a codec alone, of an echo, or of another server."""
    pictures = {"images_per_second", "requests_per_second"} & fields.keys() or "width" in fields.get("sizes", {})
    return (
        bool(pictures) and not {"task", "body"} & fields.keys() and fields.get("server", "pixelserve") == "pixelserve"
    )
