"""What must hold of bills beside each other: no option is idle, break-evens are even, all ways to one bill agree."""

from __future__ import annotations

import argparse
import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pixelserve_deploy import cli
from pixelserve_deploy.commands.cost import estimate
from pixelserve_deploy.cost import MODES, MONTH_HOURS, CostError, Workload, build_question, compare, find_break_evens
from pixelserve_deploy.cost.comparison import count_capacity, price_whole
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import read_question

PIPELINE = str(Path(__file__).parents[2] / "benchmarks" / "results" / "pipeline.json")
MEASURED = ["--measured", PIPELINE, "--instance", "ml.c6i.xlarge", "--megapixels", "0.25"]
BASE = ["--requests", "5M", "--cpu-seconds", "4"]
"""A load that needs several instances, and the second tier of traffic."""
VALUES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "--model": ([], [], ["--model", "human-image-segmentation", "--seconds", "1"]),
    "--requests": (["--cpu-seconds", "4"], ["--requests", "1M"], ["--requests", "2M"]),
    "--request-bytes": (BASE, ["--request-bytes", "1MB"], ["--request-bytes", "2MB"]),
    "--megapixels": (BASE, ["--megapixels", "1"], ["--megapixels", "2"]),
    "--response-bytes": (BASE, ["--response-bytes", "1MB"], ["--response-bytes", "2MB"]),
    "--codec": (BASE, ["--codec", "jpeg"], ["--codec", "webp"]),
    "--scale": (BASE, ["--scale", "2"], ["--scale", "4"]),
    "--encoding": (BASE, ["--encoding", "raw"], ["--encoding", "base64"]),
    "--request-encoding": (
        [*BASE, "--request-bytes", "5MB", "--response-bytes", "1MB"],
        ["--request-encoding", "raw"],
        ["--request-encoding", "base64"],
    ),
    "--log-bytes": (BASE, ["--log-bytes", "1KB"], ["--log-bytes", "2KB"]),
    "--link": (BASE, [], ["--link"]),
    "--in-region": (BASE, [], ["--in-region"]),
    "--gateway": (BASE, [], ["--gateway"]),
    "--documented": (BASE, [], ["--documented"]),
    "--instance": ([*BASE, "--seconds", "1"], ["--instance", "ml.g4dn.2xlarge"], ["--instance", "ml.g5.xlarge"]),
    "--seconds": (BASE, ["--seconds", "1"], ["--seconds", "2"]),
    "--measured": ([*BASE, *MEASURED[2:]], ["--seconds", "1"], MEASURED[:2]),
    "--latency": ([*BASE, *MEASURED], ["--latency", "3"], ["--latency", "1"]),
    "--percentile": ([*BASE, *MEASURED, "--latency", "1.5"], ["--percentile", "p50"], ["--percentile", "max"]),
    "--concurrency": (BASE, ["--concurrency", "1"], ["--concurrency", "4"]),
    "--cpu-seconds": ([], ["--cpu-seconds", "1"], ["--cpu-seconds", "2"]),
    "--memory": (["--cpu-seconds", "1"], ["--memory", "2048"], ["--memory", "3072"]),
    "--utilisation": (BASE, ["--utilisation", "70%"], ["--utilisation", "20%"]),
    "--instances": (BASE, ["--instances", "4"], ["--instances", "8"]),
    "--starts-a-day": (["--cpu-seconds", "4"], ["--starts-a-day", "8"], ["--starts-a-day", "9"]),
    "--region": (BASE, ["--region", "us-east-2"], ["--region", "ap-northeast-1"]),
    "--book": (BASE, ["--book", "aws-2026-11"], ["--book", "aws-2022-06"]),
    "--price": (BASE, [], ["--price", "AWSDataTransfer/out=1"]),
    "--policy": (BASE, ["--policy", "exact"], ["--policy", "documented-corrected"]),
    "--no-tiers": (BASE, [], ["--no-tiers"]),
    "--free-tier": (BASE, [], ["--free-tier"]),
}  # fmt: skip
"""Of every option of a job: what stands beside it, and two values of it."""
OF_THE_REPORT = {"--mode", "--swing", "--explain", "--what-if", "--format", "--output", "--help"}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    estimate.add_arguments(parser)
    return parser


def price(mode: str, words: list[str]) -> dict[str, Decimal] | None:
    """The bill's lines; None for a refusal."""
    arguments = make_parser().parse_args(words)
    try:
        _, question = read_question(arguments, mode)
        question.require_mode(mode)
        return {line.key: line.amount for line in question.estimate(mode).lines}
    except (CostError, UsageError):
        return None


def drop_idle(mode: str, words: list[str]) -> list[str]:
    """Without seconds that the mode does not heed, which stand beside other options for the sake of other modes."""
    idle = {"--cpu-seconds"} if MODES[mode].machine == "instance" else {"--seconds", "--instance", "--measured"}
    return [word for at, word in enumerate(words) if not {word, *words[max(at - 1, 0) : at]} & idle]


def test_every_option_of_a_job_is_tried() -> None:
    options = {action.option_strings[-1] for action in make_parser()._actions}
    assert options == VALUES.keys() | OF_THE_REPORT


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("option", VALUES)
def test_no_option_is_without_effect(option: str, mode: str) -> None:
    beside, one, other = VALUES[option]
    beside = drop_idle(mode, beside)
    bills = [price(mode, [*beside, *words]) for words in (one, other)]
    assert None in bills or bills[0] != bills[1]


@pytest.mark.parametrize("option", sorted(VALUES.keys() - {"--measured", "--latency", "--percentile"}))
def test_every_option_has_a_mode_in_which_it_makes_two_bills(option: str) -> None:
    beside, one, other = VALUES[option]
    pairs = [[price(mode, [*drop_idle(mode, beside), *words]) for words in (one, other)] for mode in MODES]
    assert any(None not in pair and pair[0] != pair[1] for pair in pairs)


workloads = st.builds(
    Workload,
    seconds=st.integers(1, 200).map(lambda tenths: Decimal(tenths) / 10),
    cpu_seconds=st.integers(1, 200).map(lambda tenths: Decimal(tenths) / 10),
    request_bytes=st.integers(10_000, 3 * 10**6).map(Decimal),
    response_bytes=st.integers(1000, 4 * 10**6).map(Decimal),
    utilisation=st.sampled_from([Decimal("0.3"), Decimal("0.7"), Decimal(1)]),
    instances=st.none() | st.integers(1, 5),
    requests=st.integers(1, 10**5).map(Decimal),
    gateway=st.booleans(),
    in_region=st.booleans(),
    starts_a_day=st.integers(0, 24).map(Decimal),
)


@settings(max_examples=25, deadline=None)
@given(workloads)
def test_at_the_break_even_both_bills_are_the_same(workload: Workload) -> None:
    question = build_question(workload)
    options = compare(question)
    found = find_break_evens(question, options)
    assume(found)
    fixed = question.limit_instances()
    for point in found:
        if point.whole is not None:
            always, other = (fixed.estimate(mode, point.whole).total for mode in ("realtime", point.mode))
            assert abs(always - other) < always / 100
        else:
            assert fixed.estimate(point.mode, count_capacity(fixed)).total <= price_whole(fixed, "realtime")(
                count_capacity(fixed)
            )


@settings(max_examples=25, deadline=None)
@given(workloads)
def test_the_table_beside_a_break_even_does_not_contradict_it(workload: Workload) -> None:
    """Just below the volume the mode is cheaper in the comparison, just above it is not."""
    question = build_question(workload)
    for point in find_break_evens(question, compare(question)):
        if point.whole is None or point.whole < 100 or workload.instances is not None:
            continue
        for volume, cheaper in ((point.whole * Decimal("0.98"), True), (point.whole * Decimal("1.02"), False)):
            if volume < count_capacity(question.limit_instances()):
                always, other = (question.estimate(mode, volume).total for mode in ("realtime", point.mode))
                assert (other <= always) is cheaper


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert cli.main(["cost", *words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize("job", [["--requests", "1M"], ["--requests", "1.5M", "--gateway", "--codec", "webp"]])
def test_estimate_compare_and_chart_have_one_bill(job, capsys) -> None:
    compared = run(capsys, "compare", *job, "--cpu-seconds", "9")
    totals = {mode["mode"]: mode["bill"]["total"] for mode in compared["modes"] if mode["possible"]}
    assert {"realtime", "autoscaled", "async", "batch"} <= totals.keys()
    for mode, total in totals.items():
        seconds = ["--cpu-seconds", "9"] if mode in ("lambda", "serverless") else []
        heeded = [word for word in job if (mode, word) != ("batch", "--gateway")]
        assert run(capsys, "estimate", "--mode", mode, *heeded, *seconds)["total"] == total
    _, question = read_question(make_parser().parse_args([*job, "--cpu-seconds", "9"]))
    for mode, total in totals.items():
        assert price_whole(question.limit_instances(), mode)(question.profile.requests) == Decimal(total)


@pytest.mark.parametrize(("a_minute", "instances"), [(20, 1), (84, 2)])
def test_a_month_of_even_traffic_costs_what_is_estimated(a_minute, instances, tmp_path, capsys) -> None:
    """At 70 % an instance serves 42 requests of a second a minute."""
    minutes = int(MONTH_HOURS * 60)
    with (tmp_path / "even.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("minute", "requests"), *((minute, a_minute) for minute in range(minutes))])
    simulated = run(capsys, "simulate", "--trace", str(tmp_path / "even.csv"), "--min", str(instances))
    estimated = run(capsys, "estimate", "--mode", "autoscaled", "--requests", str(a_minute * minutes))
    assert simulated["failed"] == simulated["late"] == 0
    assert Decimal(simulated["total"]) == pytest.approx(Decimal(estimated["total"]), rel=Decimal("0.0001"))


def test_prices_that_are_given_make_a_bill_where_there_was_none(capsys) -> None:
    words = ["estimate", "--region", "cn-northwest-1"]
    assert cli.main(["cost", *words]) == 1
    told = capsys.readouterr().err
    names = [word.removesuffix("=AMOUNT") for word in told.replace(";", "").split() if word.endswith("=AMOUNT")]
    options = [option for number, name in enumerate(names) for option in ("--price", f"{name}={number + 1}")]
    bill = run(capsys, *words, *options)
    assert bill["currency"] == "CNY"
    assert {row["status"] for row in bill["rows"] if row["line"] in ("hosting", "data-in", "data-out")} == {"given"}
    assert next(row["amount"] for row in bill["rows"] if row["line"] == "hosting") == "730"
    assert "AmazonSageMaker/data-out" in bill["assumptions"]["prices"]


def test_a_comparison_without_all_prices_says_which_and_fails(capsys) -> None:
    assert cli.main(["cost", "compare", "--region", "cn-northwest-1", "--cpu-seconds", "4"]) == 1
    out, err = capsys.readouterr()
    assert "no price known" in out
    assert {"AmazonSageMaker/hosting/ml.g4dn.xlarge=AMOUNT", "AmazonS3/put=AMOUNT"} <= set(err.replace(";", "").split())


def test_assumptions_are_said_with_every_bill(capsys) -> None:
    said = run(capsys, "estimate", "--gateway", "--encoding", "base64", "--utilisation", "50%")["assumptions"]
    assert said["called"] == "through API Gateway"
    assert said["answer"] == "4 MB, base64: 5.33 MB on the wire"
    assert "driven at 50 % at most" in said["instances"]
    assert said["command"].startswith("pixelserve cost estimate --gateway --encoding base64 --utilisation 50%")
    assert said["prices"].startswith("aws-2026-11")
    other = run(capsys, "simulate", "--generate", "diurnal", "--days", "1")["assumptions"]
    assert other["called"] == "the endpoint itself, without API Gateway"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--max", "1", "--requests", "1M", "--days", "1"], "raise --max from 1"),
        (["--requests", "1M", "--days", "4", "--max", "90"], "raise --min from 1"),
        (["--seconds", "20"], "a request takes 20 s. Raise --late-after"),
    ],
)
def test_a_simulation_says_what_to_change(words, expected, capsys) -> None:
    told = run(capsys, "simulate", "--generate", "bursty", *words)
    assert told["failed"] or told["late"]
    assert expected in " ".join(told["advice"])
