"""Sensitivity, levers and differences."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from profiles import BOOK, profile

from pixelserve_deploy.cost.defaults import estimate_answer_bytes, estimate_picture_bytes, estimate_pixels, find_model
from pixelserve_deploy.cost.difference import compare_bills, read_bills
from pixelserve_deploy.cost.documented import load_cases
from pixelserve_deploy.cost.engine import estimate
from pixelserve_deploy.cost.errors import CostError, CurrencyMismatch
from pixelserve_deploy.cost.levers import Measurement, pull_levers
from pixelserve_deploy.cost.modes import INSTANCE, MEMORY, Scaling, apply_mode
from pixelserve_deploy.cost.policy import EXACT
from pixelserve_deploy.cost.question import Question
from pixelserve_deploy.cost.sensitivity import measure_effects

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def make_question(instances: int | None = None, **changes) -> Question:
    seconds = {INSTANCE: Decimal(1), MEMORY: None}
    return Question(profile(**changes), seconds, BOOK, EXACT, Scaling(instances=instances))


def test_sensitivity_has_no_bill_of_what_cannot_run() -> None:
    """One instance at 70 % serves 1,839,600 requests of a second; API Gateway carries 10 MB."""
    full = make_question(1, requests=Decimal(1_700_000), response_bytes=Decimal(9 * 10**6))
    found = {effect.what: effect for effect in measure_effects(full, "realtime", Decimal("0.2"))}
    for what, reason in (
        ("requests", "serve 1,839,600 requests a month, not 2,040,000: take 2"),
        ("seconds per image", "serve 1,533,000 requests a month, not 1,700,000: take 2"),
        ("size of an answer", "takes 10 MB; the answer has 10.8 MB"),
    ):
        assert found[what].high is None
        assert found[what].low is not None
        assert reason in found[what].remark
    assert found["size of a request"].high is not None
    assert found["requests"].span == full.estimate("realtime").total - found["requests"].low


def test_levers_have_no_row_of_instances_that_cannot_serve_the_job() -> None:
    with pytest.raises(CostError, match=r"driven at 30 % serve 788,400 requests a month, not 1,000,000: take 2"):
        pull_levers(load_cases()[0], BOOK, Scaling(Decimal("0.3"), 1), None)


def test_sensitivity_is_the_bill_made_again() -> None:
    def bill(job):
        return estimate(apply_mode(job, "realtime", Scaling()), BOOK, EXACT)

    found = {effect.what: effect for effect in measure_effects(make_question(), "realtime", Decimal("0.5"))}
    assert found["size of an answer"].low == bill(profile(response_bytes=Decimal(2 * 10**6))).total
    assert found["requests"].high == bill(profile(requests=Decimal(1_500_000))).total
    assert found["price of the instance"].span == 730 * Decimal("0.7364")
    spans = [effect.span for effect in found.values()]
    assert spans == sorted(spans, reverse=True)


def test_levers_begin_with_the_printed_bill() -> None:
    found = pull_levers(load_cases()[0], BOOK, Scaling(), Measurement("ml.c6i.xlarge", Decimal(2)))
    totals = [lever.bill.total for lever in found]
    assert [str(total) for total in totals[:2]] == ["648.21", "653.16"]
    counted, month, same = totals[2:5]
    assert month - counted == (730 - Decimal(10**6) / 3600) * Decimal("0.7364")
    assert month - same == Decimal(5_333_336 - 4_000_000) * 10**6 / 10**9 * (Decimal("0.09") + Decimal("0.016"))
    assert totals[3] > totals[4] > totals[5] > totals[6] > totals[7] > totals[8] > totals[9] > totals[10]
    assert found[-1].bill.profile.instance == "ml.c6i.xlarge"
    assert len(pull_levers(load_cases()[0], BOOK, Scaling(), None)) == len(found) - 1


def test_measured_sizes_and_documented_defaults() -> None:
    assert estimate_answer_bytes(Decimal(10**6), 2, "jpeg") == 2_590_000
    rows = json.loads((RESULTS / "cost.json").read_text())["rows"]
    for row in rows:
        if row["task"] == "answer":
            assert estimate_answer_bytes(Decimal(1), row["scale"], row["codec"]) == Decimal(str(row["of_request"]))
    assert estimate_pixels(estimate_picture_bytes(Decimal(3))) == 3 * 10**6
    assert find_model("image_similarity").memory_mb == 10240
    with pytest.raises(CostError, match="Models: image-super-resolution, human-image-segmentation, image-similarity"):
        find_model("face")


def _file(path, **changes):
    rows = [{"service": "S", "line": "a", "usage": "u", "amount": "10", "status": "unverified"}]
    path.write_text(json.dumps([{"id": "x", "currency": "USD", "total": "10", "rows": rows, **changes}]))
    return path


def test_differences_are_by_line(tmp_path) -> None:
    (before,), (after,) = (
        read_bills(_file(tmp_path / "a.json")),
        read_bills(
            _file(
                tmp_path / "b.json",
                total="12",
                rows=[{"service": "S", "line": "b", "usage": "u", "amount": "12", "status": "documented"}],
            )
        ),
    )
    lines, total = compare_bills(before, after)
    assert [(line.name, line.before, line.after) for line in lines] == [("S, a", 10, 0), ("S, b", 0, 12)]
    assert (total.part, lines[1].part) == (Decimal("0.2"), None)
    assert total.exceeds(Decimal("0.19"))
    assert not total.exceeds(Decimal("0.2"))
    assert before.marked == {"S, a": "unverified"}


def test_two_currencies_are_never_compared(tmp_path) -> None:
    (before,), (after,) = read_bills(_file(tmp_path / "a.json")), read_bills(_file(tmp_path / "b.json", currency="CNY"))
    with pytest.raises(CurrencyMismatch, match="x is in USD, x in CNY"):
        compare_bills(before, after)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"currency": "EUR"}, "its currency EUR is not USD or CNY"), ({"total": "NaN"}, "an amount is no finite number")],
)
def test_bills_that_cannot_be_compared_are_refused(tmp_path, changes, expected) -> None:
    with pytest.raises(CostError, match=expected):
        read_bills(_file(tmp_path / "a.json", **changes))


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"id": "x"}]'])
def test_other_files_are_no_bills(tmp_path, content) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(CostError, match="is no bill"):
        read_bills(tmp_path / "other.json")
