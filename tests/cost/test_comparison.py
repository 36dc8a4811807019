"""Modes side by side: who may run, who is cheapest, and from which volume on another is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from profiles import BOOK, profile

from pixelserve_deploy.cost.comparison import compare, find_break_even, find_break_evens, price_machines
from pixelserve_deploy.cost.errors import CostError
from pixelserve_deploy.cost.modes import INSTANCE, MEMORY, Scaling, apply_mode, find_obstacles
from pixelserve_deploy.cost.policy import EXACT
from pixelserve_deploy.cost.pricebook import find_book
from pixelserve_deploy.cost.question import Question

FULL = Scaling(utilisation=Decimal(1))
"""As the documents drive their instance."""


def question(memory: int = 4096, cpu: str | None = "4", book=BOOK, scaling=FULL, **changes) -> Question:
    seconds = {INSTANCE: Decimal(1), MEMORY: None if cpu is None else Decimal(cpu)}
    return Question(profile(memory_mb=memory, response_bytes=Decimal(10**5), **changes), seconds, book, EXACT, scaling)


def test_the_break_evens_of_the_documents() -> None:
    """730 h x 0.736 = 537.28 against 266.8672 and 166.867 a million."""
    documented = find_book("aws-2022-06")
    small, large = question(book=documented), question(10240, "1", book=documented)
    assert price_machines(small, "realtime")(Decimal(10**6)) == Decimal("537.28")
    assert price_machines(small, "lambda")(Decimal(10**6)) == Decimal("266.8672")
    (point,) = find_break_evens(small, compare(small))
    assert (point.mode, point.compute) == ("lambda", 2_013_286)
    (point,) = find_break_evens(large, compare(large))
    assert (point.mode, point.compute) == ("lambda", None)
    assert large.apply_mode("realtime").capacity == 2_628_000
    always = price_machines(large.limit_instances(), "realtime")
    assert find_break_even(always, price_machines(large, "lambda"), Decimal(10**7)) == 3_219_810


def test_a_break_even_is_the_nearest_whole_volume() -> None:
    fixed, each = Decimal(10), Decimal(3)
    assert find_break_even(lambda n: fixed, lambda n: each * n, Decimal(100)) == 3
    assert find_break_even(lambda n: fixed + 1, lambda n: each * n, Decimal(100)) == 4
    assert find_break_even(lambda n: fixed, lambda n: each * n, Decimal(3)) is None
    assert find_break_even(lambda n: fixed, lambda n: each * n + 11, Decimal(100)) == 0


def test_the_cheapest_comes_first_and_the_impossible_last() -> None:
    options = compare(question(memory=8192))
    totals = [option.bill.total for option in options if option.bill]
    assert totals == sorted(totals)
    assert len(totals) == 5
    assert [(option.mode, option.reasons) for option in options[5:]] == [
        ("serverless", ("serverless inference has 6144 MB at most, not 8192: measure with less",))
    ]


def test_modes_without_a_gpu_need_seconds_of_their_own() -> None:
    refused = {option.mode: option.reasons for option in compare(question(cpu=None)) if not option.bill}
    assert set(refused) == {"lambda", "serverless"}
    assert all("it has no GPU" in words[0] and "--cpu-seconds" in words[0] for words in refused.values())


def test_async_takes_the_next_instance_and_says_so() -> None:
    (option,) = [option for option in compare(question()) if option.mode == "async"]
    assert option.bill.profile.instance == "ml.g4dn.2xlarge"
    assert (
        option.remark
        == "ml.g4dn.xlarge is not offered for asynchronous endpoints; this is ml.g4dn.2xlarge, at the same seconds"
    )


def test_china_has_no_prices_of_instances() -> None:
    book = find_book("aws-cn-2026-11")
    options = {option.mode: option for option in compare(question(book=book, region="cn-northwest-1"))}
    assert options["lambda"].bill.currency == "CNY"
    assert set(options["realtime"].missing) == {
        "AmazonSageMaker/hosting/ml.g4dn.xlarge",
        "AmazonSageMaker/data-in",
        "AmazonSageMaker/data-out",
    }


@pytest.mark.parametrize(
    ("mode", "changes", "expected"),
    [
        ("realtime", {"response_bytes": Decimal(11 * 10**6)}, "behind API Gateway takes 10 MB; the answer has 11 MB"),
        ("realtime", {"response_bytes": Decimal(26 * 10**6), "gateway": False}, "takes 25 MB; the answer has 26 MB"),
        ("realtime", {"seconds": Decimal(30)}, "ends after 29 s; a request takes 30 s"),
        ("serverless", {"request_bytes": Decimal(5 * 10**6)}, "takes 4 MB; the request has 5 MB"),
        ("lambda", {"response_bytes": Decimal(5 * 10**6), "response_encoding": "base64"}, "the answer has 6.666668 MB"),
        ("lambda", {"response_bytes": Decimal(5 * 10**6)}, "the answer has 6.666668 MB, in Base64 as Lambda carries"),
        ("lambda", {"request_bytes": Decimal(5 * 10**6)}, "the request has 6.666668 MB, in Base64 as Lambda carries"),
        ("lambda", {"memory_mb": 20_000}, "has 10240 MB at most"),
        ("async", {"response_bytes": Decimal(2 * 10**9)}, "takes 1,000 MB"),
        ("batch", {"seconds": Decimal(4000)}, "ends after 3600 s"),
    ],
)
def test_limits_are_told_with_a_way_out(mode, changes, expected) -> None:
    found = find_obstacles(apply_mode(profile(**changes), mode, Scaling()), Scaling())
    assert expected.replace("1,000 MB", "1000 MB") in " ".join(found)


def test_json_is_not_in_base64_in_lambda() -> None:
    large = profile(response_bytes=Decimal(5 * 10**6), answers_pictures=False)
    assert find_obstacles(apply_mode(large, "lambda", Scaling()), Scaling()) == []


def test_large_answers_go_by_links() -> None:
    large = profile(response_bytes=Decimal(50 * 10**6), delivery="s3")
    assert find_obstacles(apply_mode(large, "realtime", Scaling()), Scaling()) == []


def test_hours_are_those_of_the_mode() -> None:
    scaling, job = Scaling(), profile(requests=Decimal(3_600_000))  # 1,000 busy hours
    hours = {mode: apply_mode(job, mode, scaling).hours for mode in ("realtime", "autoscaled", "batch")}
    assert hours["realtime"] == 2 * 730
    assert hours["autoscaled"] == Decimal(1000) / Decimal("0.7")
    assert hours["batch"] == 1000 + Decimal(730) / 24 * Decimal(10) / 60
    assert apply_mode(replace(job, requests=Decimal(0)), "async", scaling).hours == 0
    assert apply_mode(job, "realtime", Scaling(instances=1)).hours == 730


def test_seconds_must_be_known() -> None:
    with pytest.raises(CostError, match=r"on ml\.g4dn\.xlarge is not known: give --seconds"):
        replace(question(), seconds={INSTANCE: None, MEMORY: None}).apply_mode("realtime")
