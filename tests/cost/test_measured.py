"""From a benchmark's result to money."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.measured import price_thousand, read_benchmark, select_images, select_within

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture
def result(tmp_path) -> Path:
    path = tmp_path / "result.json"
    rows = [
        _row(connections=1, per_second=4.0, p99=0.3),
        _row(connections=8, per_second=10.0, p99=1.1),
        {"picture": "a", "psnr": 30},
    ]
    path.write_text(json.dumps(_result(rows)))
    return path


def _row(connections: int, per_second: float, p99: float) -> dict[str, object]:
    seconds = {"count": 100, "mean": 0.25, "p50": 0.25, "p90": 0.26, "p99": p99, "max": 2.0}
    return {"network": "x", "connections": connections, "per_second": per_second, "seconds": seconds,
            "sizes": {"request": 60_000, "answer": 1, "width": 512, "height": 512}}  # fmt: skip


def _result(rows: list[dict[str, object]]) -> dict[str, object]:
    machine = {"cpu": "CPU", "cores": 2, "gpu": None}
    return {"schema": "pixelserve-benchmark/1", "name": "test", "date": "2026-11-21", "machine": machine, "rows": rows}


def test_the_fastest_load_within_the_latency_counts(result) -> None:
    benchmark = read_benchmark(result)
    assert [row.rate for row in select_within(benchmark, None, "p99")] == [10, 4]
    assert [row.rate for row in select_within(benchmark, Decimal("0.5"), "p99")] == [4]
    assert [row.rate for row in select_within(benchmark, Decimal("0.25"), "p50")] == [10, 4]
    with pytest.raises(CostError, match=r"has a p99 of 0\.1 s or less; the best has 0\.3 s \(network x, connections 1"):
        select_within(benchmark, Decimal("0.1"), "p99")


def test_a_thousand_images_cost_their_part_of_the_hour(result) -> None:
    row = select_within(read_benchmark(result), Decimal("0.5"), "p99")[0]
    price = price_thousand(row, Decimal("3.6"), Decimal("0.5"))
    assert price.amount == Decimal(1000) / 4 / 3600 * Decimal("3.6") / Decimal("0.5")
    spread = (Decimal("0.3") - Decimal("0.25")) / Decimal("2.3263")  # wider than that of p90
    part = Decimal("1.96") * spread / 10 / Decimal("0.25")
    assert price.low == price.amount * (1 - part)
    assert price.high == price.amount * (1 + part)
    assert row.pixels == 512 * 512


def test_instances_that_answered_together_are_priced_together(result) -> None:
    """10 images a second of four instances are 2.5 of one."""
    fields = json.loads(result.read_text())
    one = select_within(read_benchmark(result), None, "p99")[0]
    result.write_text(
        json.dumps(fields | {"machine": {**fields["machine"], "instance": "ml.g5.xlarge", "instances": 4}})
    )
    four = read_benchmark(result)
    row = select_within(four, None, "p99")[0]
    assert (four.machine, four.instance, four.instances) == ("4 x ml.g5.xlarge", "ml.g5.xlarge", 4)
    assert row.rate == Decimal("2.5")
    hour, part = Decimal("3.6"), Decimal("0.5")
    assert price_thousand(row, hour, part).amount == 4 * price_thousand(one, hour, part).amount
    assert row.times == one.times
    for wrong in (0, 1.5, "2", True):
        result.write_text(json.dumps(fields | {"machine": {**fields["machine"], "instances": wrong}}))
        with pytest.raises(CostError, match=r"machine\.instances is"):
            read_benchmark(result)


def test_rows_are_those_of_the_job(tmp_path) -> None:
    """Neither another scale nor another server nor an echo is the answer, however fast."""
    path = tmp_path / "result.json"
    others = [
        {**_row(1, 90.0, 0.3), "server": "litserve"},
        {**_row(1, 80.0, 0.3), "body": "json"},
        {**_row(1, 70.0, 0.3), "task": "decode"},
        {**_row(1, 60.0, 0.3), "sizes": {}},
    ]
    rows = [{**_row(1, 10.0, 0.3), "scale": 2}, {**_row(1, 5.0, 0.3), "scale": 4}, _row(1, 1.0, 0.3)]
    path.write_text(json.dumps(_result([*others, *rows])))
    assert [row.rate for row in select_images(read_benchmark(path), 2).rows] == [10, 1]
    assert [row.rate for row in select_images(read_benchmark(path), 4).rows] == [5, 1]
    assert [row.rate for row in select_images(read_benchmark(path), None).rows] == [1]
    path.write_text(json.dumps(_result(others)))
    with pytest.raises(CostError, match="has no row that prices this job"):
        select_images(read_benchmark(path), 2)


def test_times_are_in_proportion_to_the_pixels(result) -> None:
    row = read_benchmark(result).rows[0].at(Decimal(4 * 512 * 512))
    assert (row.rate, row.mean, row.times["p99"]) == (1, 1, Decimal("1.2"))
    assert row.error == read_benchmark(result).rows[0].error


@pytest.mark.parametrize("name", ["pipeline", "serving", "codecs", "segmentation", "similarity"])
def test_the_projects_own_results_are_read(name) -> None:
    benchmark = read_benchmark(RESULTS / f"{name}.json")
    fields = json.loads((RESULTS / f"{name}.json").read_text())
    timed = [row for row in fields["rows"] if "seconds" in row]
    assert len(benchmark.rows) == len(timed) > 0
    assert benchmark.machine == f"{fields['machine']['cpu']}, {fields['machine']['cores']} cores"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "Cannot read"),
        ("[]", 'lacks "schema"'),
        ('{"schema": "pixelserve-benchmark/1", "rows": []}', "not in the form of docs/benchmarks.md: KeyError"),
        (json.dumps(_result([{"psnr": 1}])), "has no rows with seconds per image"),
        (json.dumps(_result([_row(1, 7.0, 1.0)])).replace("7.0", "1e999"), "a rate or time that is no finite number"),
        (json.dumps(_result([_row(1, 0.0, 1.0)])), "not in the form of docs/benchmarks.md"),
    ],
)
def test_other_files_are_refused(tmp_path, content, expected) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(CostError, match=expected):
        read_benchmark(tmp_path / "other.json")
