"""What must hold of bills beside each other: break-evens are even, all ways to one bill agree, and say the same."""

from __future__ import annotations

import argparse
import csv
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pixelserve_deploy import cli
from pixelserve_deploy.commands.cost import estimate
from pixelserve_deploy.cost import MONTH_HOURS, Workload, build_question, compare, find_break_evens
from pixelserve_deploy.cost.comparison import count_capacity, price_whole
from pixelserve_deploy.options import read_question

PIPELINE = str(Path(__file__).parents[2] / "benchmarks" / "results" / "pipeline.json")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    estimate.add_arguments(parser)
    return parser


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
    assert said["requests"] == "1,000,000 a month"
    assert "starts" not in said
    assert said["answer"] == "4 MB, base64: 5.333 MB on the wire"
    assert said["instances"] == "ml.g4dn.xlarge, always on: as many as the load needs, driven at 50 % at most"
    assert said["command"].startswith("pixelserve cost estimate --gateway --encoding base64 --utilisation 50%")
    assert said["prices"].startswith("aws-2026-11")
    other = run(capsys, "simulate", "--generate", "diurnal", "--days", "1")["assumptions"]
    assert other["called"] == "directly, without API Gateway"


def test_assumptions_are_those_of_the_mode_that_is_billed(capsys) -> None:
    queued = run(capsys, "estimate", "--mode", "async", "--starts-a-day", "4", "--request-bytes", "50")
    said = queued["assumptions"]
    assert any(row["usage"].endswith("h ml.g4dn.2xlarge") for row in queued["rows"])
    assert said["instances"] == "ml.g4dn.2xlarge: as many as the load needs, none without any, driven at 70 % at most"
    assert said["seconds"].startswith(
        "0.00005 on ml.g4dn.2xlarge, as documented for 1 MB at x2, in proportion to the size"
    )
    assert said["seconds"].endswith("; those of ml.g4dn.xlarge")
    assert (said["starts"], said["request"], said["answer"]) == (
        "4 a day, of 10 min each",
        "50 B, raw",
        "200 B, read from S3",
    )
    function = run(capsys, "estimate", "--mode", "lambda", "--cpu-seconds", "9", "--free-tier", "--no-tiers")[
        "assumptions"
    ]
    assert function["seconds"] == "9 on a CPU with 4096 MB, given"
    assert not {"instances", "starts", "requests at a time"} & function.keys()
    assert (function["free tier"], function["tiers"]) == ("taken off", "the price of the first for all")
    compared = run(capsys, "compare", "--cpu-seconds", "9")["assumptions"]
    assert compared["starts"] == {"batch": "1 a day, of 10 min each", "async": "8 a day, of 10 min each"}
    assert compared["seconds"]["lambda"] == compared["seconds"]["serverless"] == "9 on a CPU with 4096 MB, given"


@pytest.mark.parametrize(
    ("words", "hours", "said"),
    [
        (["--mode", "async", "--requests", "5M"], Decimal(5 * 10**6) / 3600 / Decimal("0.7"), None),
        (["--mode", "async", "--requests", "1840k"], Decimal("730"), None),
        (["--mode", "async", "--requests", "1830k"], Decimal("730"), "22.86 a month, of 10 min each"),
        (["--mode", "async", "--requests", "122"], None, "4.01 a day, of 10 min each"),
        (["--mode", "batch", "--requests", "5"], Decimal(5) / 3600 + Decimal(5) / 6, "5 a month, of 10 min each"),
        (["--mode", "batch", "--requests", "31"], None, "1 a day, of 10 min each"),
        (["--mode", "realtime"], Decimal("730"), None),
    ],
)
def test_starts_are_said_as_they_are_billed(words, hours, said, capsys) -> None:
    """A million requests of 1 s keep instances that are driven at 70 % busy for 396.8 h."""
    bill = run(capsys, "estimate", *words, "--explain")
    assert bill["assumptions"].get("starts") == said
    (formula,) = [row["formula"] for row in bill["rows"] if row["line"] == "hosting"]
    if hours is not None:
        assert float(formula.partition(" h")[0].replace(",", "")) == pytest.approx(float(hours), abs=0.2)


def test_what_some_bills_alone_suppose_has_their_names(capsys) -> None:
    told = run(capsys, "compare", "--starts-a-day", "1", "--cpu-seconds", "9")["assumptions"]
    assert told["starts"] == dict.fromkeys(("batch", "async"), "1 a day, of 10 min each")
    assert isinstance(told["logs"], str)


def test_base64_is_on_the_wire_where_it_is_counted(capsys) -> None:
    words = ["estimate", "--documented", "--explain"]
    for policy, expected in (("exact", "5.333 MB on the wire"), ("as-documented", "counted as 4 MB")):
        bill = run(capsys, *words, "--policy", policy)
        assert bill["assumptions"]["answer"] == f"4 MB, base64: {expected}"
        (usage,) = [row["usage"] for row in bill["rows"] if row["line"] == "data-out"]
        assert usage.removesuffix(" out per call") in expected
    function = run(capsys, "estimate", "--mode", "lambda", "--cpu-seconds", "9", "--codec", "jpeg")["assumptions"]
    assert function["request"] == "1 MB, in Base64 as Lambda carries pictures"


def test_assumptions_of_a_simulation_are_its_limits(capsys) -> None:
    words = ["simulate", "--generate", "bursty", "--days", "1", "--requests", "100k", "--max", "1", "--late-after", "7"]
    told = run(capsys, *words)
    said = told["assumptions"]
    assert said["instances"] == "ml.g4dn.xlarge: 1 to 1, scaled so that they are driven at 70 %"
    assert said["patience"] == "late after 7 s, failed after 60 s of waiting"
    assert "works 300 s after its order" in said["starts"]
    assert said["requests"] == f"100,000 in 24 h, {told['served_in_time'] + told['late']:,} of them answered"


def test_every_report_says_where_when_and_by_which_command(capsys) -> None:
    for words in (["estimate", "--what-if"], ["from-benchmark", PIPELINE, "--instance", "ml.c6i.xlarge"]):
        said = run(capsys, *words)["assumptions"]
        assert said["command"].startswith(f"pixelserve cost {words[0]}")
        assert {"region", "prices", "price source", "reckoned on", "instances"} <= said.keys()


@pytest.mark.parametrize("job", [[], ["--seconds", "12"], ["--seconds", "2", "--instances", "3", "--requests", "2M"]])
def test_the_week_of_an_estimate_is_the_simulation_that_it_names(job, capsys) -> None:
    assert cli.main(["cost", "estimate", *job]) == 0
    told = capsys.readouterr().out
    (words,) = re.findall("`pixelserve cost (simulate [^`]*)`", told)
    (cost,) = re.findall(r"Cost of the period +(\S+)", told)
    heeded = job[:2] if job else []  # --instances and --requests are the words' --min and --requests
    assert cli.main(["cost", *words.split(), *heeded]) == 0
    assert re.findall(r"Cost of the period +(\S+)", capsys.readouterr().out) == [cost]
    assert not {"--late-after", "--time-out", "--cold-start"} & set(told.split())


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
