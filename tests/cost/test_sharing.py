"""Several features on one instance: one bill of it, however its hours are parted."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest

from pixelserve_deploy import cli
from pixelserve_deploy.cost import (
    MONTH_HOURS,
    CostError,
    Estimate,
    Workload,
    build_question,
    load_models,
    share_instances,
)

FEATURES = tuple(load_models())


def share(requests: int, seconds: Decimal | None = Decimal("0.5")) -> tuple[list[Estimate], list[Estimate], int]:
    workloads = {name: Workload(model=name, requests=Decimal(requests), seconds=seconds) for name in FEATURES}
    found = share_instances({name: build_question(workload) for name, workload in workloads.items()})
    return [*found.apart.bills.values()], [*found.together.bills.values()], found.instances


def sum_up(bills: list[Estimate], key: str) -> Decimal:
    return sum((line.amount for bill in bills for line in bill.lines if line.key == key), Decimal(0))


def test_three_features_pay_one_instance_and_the_rest_as_before() -> None:
    apart, together, instances = share(200_000)
    assert instances == 1
    price = build_question(Workload()).book.price("AmazonSageMaker", "us-east-2", "hosting ml.g4dn.xlarge").first
    assert round(sum_up(together, "hosting"), 6) == round(MONTH_HOURS * price, 6)
    assert round(sum_up(apart, "hosting"), 6) == round(3 * MONTH_HOURS * price, 6)
    assert 3 * sum_up(together, "registry") == sum_up(apart, "registry")  # one image
    for key in {line.key for bill in apart for line in bill.lines} - {"hosting", "registry"}:
        assert sum_up(together, key) == sum_up(apart, key)


def test_as_many_are_shared_as_the_load_of_all_needs() -> None:
    requests = 2_500_000  # 3 x 2.5 M x 0.5 s = 1041.7 h, at 70 % of the time 1488.1 h, of 730 a month
    assert share(requests)[2] == 3
    with pytest.raises(CostError, match="give --seconds"):
        share(1000, None)


def tell(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    features = ["--features", ",".join(FEATURES), "--seconds", "0.5"]
    assert cli.main(["cost", "compare", *features, *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_account_has_its_tiers_and_what_is_free_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Free are 100 GB of traffic at $0.09 and 5 GB of logs at $0.50; the second tier, $0.085, begins at 10 TB."""
    paid, less = tell(capsys, "--requests", "200k"), tell(capsys, "--requests", "200k", "--free-tier")
    for column in ("apart", "together"):
        alone = sum(Decimal(feature[column]) for feature in paid["features"])
        assert round(Decimal(paid["in_all"][column]["total"]), 9) == round(alone, 9)
        assert round(Decimal(less["in_all"][column]["total"]), 9) == round(alone, 9) - Decimal("11.50")
    tiers = tell(capsys, "--requests", "4M")["in_all"]["apart"]
    small = Decimal(4 * 10**6) * (100_000 + 10_000) / 10**9  # GB of the two features that stay in the first tier
    saved = Decimal(tiers["alone"]) - Decimal(tiers["total"])
    assert round(saved, 9) == small * (Decimal("0.09") - Decimal("0.085"))


def test_the_csv_sums_up_to_what_is_paid(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "compare", "--features", ",".join(FEATURES), "--seconds", "0.5", "--requests", "200k"]
    for free in ([], ["--free-tier"]):
        paid = tell(capsys, *words[-2:], *free)["in_all"]
        assert cli.main([*words, *free, "--format", "csv"]) == 0
        *features, whole = csv.DictReader(io.StringIO(capsys.readouterr().out))
        assert [row["feature"] for row in (*features, whole)] == [*FEATURES, "in all"]
        for column in ("apart", "together"):
            assert whole[column] == paid[column]["total"]
            assert str(sum(Decimal(row[column]) for row in features)) == paid[column]["alone"]


def test_a_feature_named_twice_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "compare", "--features", f"{FEATURES[0]},{FEATURES[2]},{FEATURES[0]}", "--seconds", "1"]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith("2 features in us-east-2")
    assert "Tiers, free tier" not in told
    assert cli.main([*words, "--price", "AmazonS3/storage=1"]) == 1
    assert "AmazonS3/storage: no line of the bill has it" in capsys.readouterr().err


def test_the_command_prices_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "compare", "--features", ",".join(FEATURES), "--seconds", "0.5", "--requests", "200k"]
    assert cli.main([*words, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [feature["feature"] for feature in told["features"]] == list(FEATURES)
    assert told["assumptions"]["answer"] == {
        FEATURES[0]: "4 MB, raw",
        FEATURES[1]: "100 KB, raw",
        FEATURES[2]: "10 KB, raw",
    }
    assert cli.main(words) == 0
    assert "With a GPU, AWS supports it with its NVIDIA Triton container only" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["cost", "compare", "--features", "image-similarity"])
    assert "name two or more" in capsys.readouterr().err
