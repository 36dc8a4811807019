"""The engine: rounding, tiers, allowances, and what must hold of any bill."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import BOOK, profile

from pixelserve_deploy.cost.amounts import format_money, format_plain, round_half_up
from pixelserve_deploy.cost.engine import estimate
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.modes import MODES, Scaling, apply_mode
from pixelserve_deploy.cost.policy import AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT, POLICIES
from pixelserve_deploy.cost.profile import BASE64, UsageProfile, encode_size

NEAR = Decimal("1e-15")
"""Of 28 digits, what sums in another order may differ by."""
modes = st.sampled_from(sorted(MODES))
policies = st.sampled_from([AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT])
counts = st.integers(0, 10**9).map(Decimal)


def bill(job: UsageProfile, mode: str = "realtime", policy=EXACT, **options):
    instance = "ml.g5.xlarge" if mode == "async" else job.instance
    return estimate(apply_mode(replace(job, instance=instance), mode, Scaling()), BOOK, policy, **options)


def line(found, key: str):
    return next(line for line in found.lines if line.key == key)


def test_halves_go_up() -> None:
    assert round_half_up(Decimal("0.5") * Decimal("0.69"), 2) == Decimal("0.35")
    assert round(0.5 * 0.69, 2) == 0.34  # what floats make of it
    assert round_half_up(278 * Decimal("0.736"), 2) == Decimal("204.61")


def test_amounts_are_written_for_people() -> None:
    assert [format_plain(Decimal(text)) for text in ("360.00", "1E+3", "0.000", "0.0000166667")] == [
        "360",
        "1000",
        "0",
        "0.0000166667",
    ]
    assert format_money(Decimal("1815.6"), "CNY") == "¥1,815.60"
    assert format_money(Decimal("-0.5"), "USD") == "-$0.50"
    assert format_money(Decimal("0.0000274"), "USD") == "$0.000027"


def test_base64_makes_four_bytes_of_three_begun() -> None:
    assert [encode_size(Decimal(size), BASE64) for size in (0, 1, 3, 4, 4_000_000)] == [0, 4, 4, 8, 5_333_336]


def test_later_tiers_have_their_own_price() -> None:
    """20 TB out: 10,240 GB at 0.09, the rest at 0.085."""
    found = line(bill(profile(requests=Decimal(5 * 10**6))), "data-transfer-out")
    assert found.quantity == 20_000
    assert found.amount == 10_240 * Decimal("0.09") + 9_760 * Decimal("0.085")
    assert "10,240 x 0.09 + 9,760 x 0.085" in found.formula
    first = line(bill(profile(requests=Decimal(5 * 10**6)), policy=replace(EXACT, tiers=False)), "data-transfer-out")
    assert first.amount == 20_000 * Decimal("0.09")


def test_tiers_taken_from_another_region_are_marked_where_they_are_reached() -> None:
    few, many = (line(bill(profile(requests=Decimal(n) * 10**6)), "gateway-requests") for n in (333, 400))
    assert (few.status, few.marked) == ("documented", False)
    assert (many.status, many.marked) == ("derived", True)
    assert many.amount == 333 * Decimal("3.5") + 67 * Decimal("2.8")
    untiered = bill(profile(requests=Decimal(400) * 10**6), policy=replace(EXACT, tiers=False))
    assert not line(untiered, "gateway-requests").marked


def test_the_free_tier_is_taken_off_once() -> None:
    paid, free = (bill(profile(), "lambda", free_tier=free) for free in (False, True))
    assert line(paid, "lambda-requests").amount - line(free, "lambda-requests").amount == Decimal("0.20")
    assert line(paid, "lambda-duration").amount - line(free, "lambda-duration").amount == 400_000 * Decimal(
        "0.0000166667"
    )
    assert line(paid, "logs").amount - line(free, "logs").amount == 5 * Decimal("0.5")
    few = bill(profile(requests=Decimal(1000)), "lambda", free_tier=True)
    assert line(few, "lambda-duration").amount == 0


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_free_gigabyte_seconds_are_taken_off_whatever_the_line_counts(policy) -> None:
    """400,000 GB-s are 100,000 s at 4 GB, under policies that count milliseconds as well."""
    paid, free = (line(bill(profile(), "lambda", policy, free_tier=free), "lambda-duration") for free in (False, True))
    assert abs(paid.amount - free.amount - Decimal("6.67")) < Decimal("0.01")
    assert (
        line(bill(profile(requests=Decimal(100_000)), "lambda", policy, free_tier=True), "lambda-duration").amount == 0
    )


def test_a_price_of_another_unit_is_refused() -> None:
    key = ("AWSLambda", "us-east-2", "duration")
    other = replace(BOOK, prices={**BOOK.prices, key: replace(BOOK.prices[key], unit="GB-hour")})
    for policy in POLICIES.values():
        with pytest.raises(
            CostError, match="AWSLambda duration is priced per GB-hour, and the usage is counted per GB-s"
        ):
            estimate(profile(mode="lambda"), other, policy)
    free = {name: replace(allowance, unit="GB-hour") for name, allowance in BOOK.free.items()}
    with pytest.raises(CostError, match="is priced per GB-hour"):
        estimate(profile(mode="lambda"), replace(BOOK, free=free), EXACT, free_tier=True)


@pytest.mark.parametrize(("mode", "delivery"), [("realtime", "response"), ("realtime", "s3"), ("async", "s3")])
def test_what_is_not_answered_is_not_sent(mode, delivery) -> None:
    job = profile(delivery=delivery)
    half, whole = (bill(replace(job, answers=answers), mode) for answers in (Decimal(500_000), None))
    for key in {item.key for item in whole.lines} & {"data-transfer-out", "data-out"}:
        assert line(half, key).amount * 2 == line(whole, key).amount
    for key in ("gateway-requests", "logs"):
        assert line(half, key).amount == line(whole, key).amount
    if mode == "async":
        assert line(whole, "async-data").quantity - line(half, "async-data").quantity == 2_000
    elif delivery == "s3":
        assert line(half, "s3-put").quantity * 2 == line(whole, "s3-put").quantity


def test_pictures_from_s3_do_not_leave_by_the_gateway() -> None:
    services = {
        mode: line(bill(profile(), mode), "data-transfer-out").service for mode in ("realtime", "async", "batch")
    }
    assert services == {"realtime": "Amazon API Gateway", "async": "AWS data transfer", "batch": "AWS data transfer"}
    assert line(bill(profile(), "batch"), "data-transfer-out").quantity == 4_000
    assert line(bill(profile(), "async"), "data-transfer-out").quantity == 4_001  # with a link of 1,000 B


def test_each_line_tells_where_it_comes_from() -> None:
    found = line(bill(profile(), "batch"), "hosting")
    assert found.status == "unverified"
    assert found.marked
    assert found.price.source == "taken equal to the hosting price; no source found"
    assert found.rounding == "none"


@given(job=st.builds(profile, requests=counts), more=counts, mode=modes, policy=policies)
def test_a_bill_never_falls_with_more_requests(job, more, mode, policy) -> None:
    larger = replace(job, requests=job.requests + more)
    assert bill(larger, mode, policy).total >= bill(job, mode, policy).total


@given(requests=counts, mode=modes, policy=policies, free=st.booleans())
def test_a_total_is_the_sum_of_its_lines(requests, mode, policy, free) -> None:
    """Each line is what the job would cost if all other prices were nothing."""
    job = apply_mode(profile(requests=requests, instance="ml.g5.xlarge"), mode, Scaling())
    found = estimate(job, BOOK, policy, free_tier=free)
    alone = Decimal(0)
    for item in found.lines:
        key = (item.price.service, item.price.region, item.price.dimension)
        nothing = {
            name: price
            if name == key
            else replace(price, tiers=tuple(replace(t, price=Decimal(0)) for t in price.tiers))
            for name, price in BOOK.prices.items()
            if name[1] == job.region
        }
        only = estimate(job, replace(BOOK, prices=nothing), policy, free_tier=free)
        if sum(other.price.dimension == item.price.dimension and other.price.service == item.price.service
               for other in found.lines) == 1:  # fmt: skip
            assert only.total == item.amount
        alone += item.amount
    assert found.total == alone


def _share(job: UsageProfile, fraction: Decimal) -> UsageProfile:
    hours = None if job.hours is None else job.hours * fraction
    return replace(job, requests=job.requests * fraction, months=job.months * fraction, hours=hours)


@given(requests=st.integers(0, 10**6), part=st.integers(1, 99), mode=modes)
def test_a_period_in_two_costs_as_much_as_in_one(requests, part, mode) -> None:
    """Up to a million requests stay within the first tier of every price."""
    whole = apply_mode(profile(requests=Decimal(requests), instance="ml.g5.xlarge"), mode, Scaling())
    fraction = Decimal(part) / 100
    halves = [estimate(_share(whole, share), BOOK, EXACT).total for share in (fraction, 1 - fraction)]
    assert abs(sum(halves) - estimate(whole, BOOK, EXACT).total) <= NEAR * max(halves) + NEAR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"requests": Decimal(-1)}, "requests is -1: give a number from 0 on"),
        ({"seconds": Decimal("NaN")}, "seconds is NaN"),
        ({"concurrency": 0}, "concurrency is at least 1"),
        ({"response_encoding": "hex"}, "choose raw or base64"),
    ],
)
def test_what_cannot_be_is_refused(changes, expected) -> None:
    with pytest.raises(CostError, match=expected):
        profile(**changes)


def test_an_unknown_mode_lists_the_modes() -> None:
    with pytest.raises(CostError, match="Modes: realtime, autoscaled, async, serverless, lambda, batch"):
        estimate(profile(mode="edge"), BOOK, EXACT)
