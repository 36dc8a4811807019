"""What an endpoint costs, against the price books and the documents' own arithmetic."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from endpoint_specs import build_spec

from pixelserve_deploy.cost import MONTH_HOURS, find_book, find_newest_book
from pixelserve_deploy.deployment.pricing import price_endpoint

BOOK = find_newest_book("us-east-2")


def find_hour(dimension: str, service: str = "AmazonSageMaker") -> Decimal:
    return BOOK.price(service, "us-east-2", dimension).first


def test_an_instance_costs_what_the_documents_say() -> None:
    """AI Solution Kit's table: ml.g4dn.xlarge in us-east-2 for $0.736 an hour."""
    cost = price_endpoint(build_spec("realtime"), "us-east-2", find_book("aws-2022-06"))
    assert (cost.currency, cost.hour_at_rest, cost.hour_at_most) == ("USD", Decimal("0.736"), Decimal("0.736"))
    assert cost.month_at_rest == Decimal("0.736") * MONTH_HOURS


@pytest.mark.parametrize(
    ("base", "fields", "rest", "most"),
    [
        ("realtime", {}, (1, "hosting ml.g4dn.xlarge"), (1, "hosting ml.g4dn.xlarge")),
        ("scaled", {}, (2, "hosting ml.g4dn.xlarge"), (4, "hosting ml.g4dn.xlarge")),
        ("several", {}, (1, "hosting ml.g4dn.xlarge"), (1, "hosting ml.g4dn.xlarge")),
        ("async", {}, (0, "async ml.g4dn.2xlarge"), (2, "async ml.g4dn.2xlarge")),
        ("async", {"count": 1}, (1, "async ml.g4dn.2xlarge"), (2, "async ml.g4dn.2xlarge")),
    ],
)
def test_instances_are_counted_at_rest_and_at_most(
    base: str, fields: dict[str, Any], rest: tuple[int, str], most: tuple[int, str]
) -> None:
    cost = price_endpoint(build_spec(base, **fields), "us-east-2")
    assert cost.hour_at_rest == rest[0] * find_hour(rest[1])
    assert cost.hour_at_most == most[0] * find_hour(most[1])


def test_pools_are_the_first_type_at_rest_and_the_dearest_at_most() -> None:
    hours = [find_hour(f"hosting {kind}") for kind in ("ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge")]
    cost = price_endpoint(build_spec("pools"), "us-east-2")
    assert cost.hour_at_rest == hours[0]
    assert cost.hour_at_most == 3 * max(hours) > 3 * hours[0]


def test_serverless_costs_nothing_at_rest() -> None:
    cost = price_endpoint(build_spec("serverless", concurrency=10), "us-east-2")
    assert cost.hour_at_rest == 0
    assert cost.hour_at_most == 10 * 6 * 3600 * find_hour("serverless")


def test_a_function_without_a_limit_has_no_most() -> None:
    cost = price_endpoint(build_spec("lambda"), "us-east-2")
    assert (cost.hour_at_rest, cost.hour_at_most, cost.month_at_most) == (0, None, None)
    assert "`concurrency` sets a limit" in cost.notes[0]
    limited = price_endpoint(build_spec("lambda", concurrency=2), "us-east-2")
    assert limited.hour_at_most == 2 * 10 * 3600 * find_hour("duration", "AWSLambda")


@pytest.mark.parametrize(
    ("base", "region", "told"),
    [
        ("realtime", "cn-northwest-1", "No price is known of ml.g4dn.xlarge in cn-northwest-1."),
        ("realtime", "sa-east-1", "No price book has prices of sa-east-1"),
    ],
)
def test_what_no_book_has_is_not_guessed(base: str, region: str, told: str) -> None:
    cost = price_endpoint(build_spec(base), region)
    assert (cost.hour_at_rest, cost.month_at_rest) == (None, None)
    assert told in cost.notes[0]


def test_chinas_prices_are_in_yuan() -> None:
    assert price_endpoint(build_spec("lambda", "cn-northwest-1"), "cn-northwest-1").currency == "CNY"
