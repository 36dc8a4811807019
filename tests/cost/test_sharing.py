"""Several features on one instance: one bill of it, however its hours are parted."""

from __future__ import annotations

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
    return [*found.apart.values()], [*found.together.values()], found.instances


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


def test_the_command_prices_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "compare", "--features", ",".join(FEATURES), "--seconds", "0.5", "--requests", "200k"]
    assert cli.main([*words, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [feature["feature"] for feature in told["features"]] == list(FEATURES)
    assert cli.main(words) == 0
    assert "With a GPU, AWS supports it with its NVIDIA Triton container only" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["cost", "compare", "--features", "image-similarity"])
    assert "name two or more" in capsys.readouterr().err
