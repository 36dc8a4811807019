"""The question of a bill as a value: what it leaves open is filled in, what contradicts itself is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from pixelserve_deploy.batch import forecast_jobs, make_order
from pixelserve_deploy.calls import load_of
from pixelserve_deploy.cost import CostError, Scaling, Workload, WorkloadError, build_question
from pixelserve_deploy.cost.modes import MEMORY

PIPELINE = Path(__file__).parents[2] / "benchmarks" / "results" / "pipeline.json"


def test_a_question_of_the_documents_job_is_its_bill() -> None:
    workload = Workload(book="aws-2022-06", policy="documented-corrected", encoding="raw")
    bill = build_question(workload).estimate("realtime")
    assert {line.key: line.amount for line in bill.lines}["hosting"] == Decimal("537.28")
    assert bill.total == bill.per_million


def test_what_is_left_open_is_the_models() -> None:
    question = build_question(Workload(model="image_similarity", seconds=Decimal(1)))
    assert question.profile.memory_mb == 10240
    assert question.book.partition == "aws"
    assert question.apply_mode("realtime").seconds == 1
    assert build_question(Workload(model="image_similarity", memory_mb=2048)).profile.memory_mb == 2048


def test_the_documents_second_grows_with_the_picture_wherever_it_is_told() -> None:
    """In estimates, in a plan of batch jobs and in the choice of a way; a second is that of 1 MB."""
    size = Decimal(4 * 10**6)
    asked = {"model": "image-super-resolution", "request_bytes": size}
    assert build_question(Workload(**asked)).apply_mode("batch").seconds == 4
    assert load_of([int(size)] * 3, "image-super-resolution", None).mean_seconds == 4
    sizes = {f"{number}.jpg": int(size) for number in range(6)}
    plan = forecast_jobs(make_order(sizes, [], int(size), 2), "image-super-resolution", "us-east-2", "ml.g4dn.xlarge")
    assert plan.bill is not None
    assert (plan.bill.profile.seconds, plan.bill.profile.busy_hours) == (4, Decimal(24) / 3600)
    assert plan.bill.profile.hours == Decimal(24) / 3600 + 3 * Scaling.start_hours
    nothing = make_order(sizes, [f"{name}.out" for name in sizes], int(size), 2)
    done = forecast_jobs(nothing, "image-super-resolution", "us-east-2", "ml.g4dn.xlarge")
    assert done.list_lines() == ["0 images in 0 jobs, 6 there already."]
    told = done.to_json()
    assert (told["hours"], told["instance_hours"], told["cost"]) == (0, 0, "0")
    assert "obstacle" not in told
    assert build_question(Workload(model="human-image-segmentation", request_bytes=size)).seconds[MEMORY] == 4
    assert build_question(Workload(**asked, seconds=Decimal(1))).apply_mode("batch").seconds == 1


def test_measured_seconds_are_those_of_the_fastest_load() -> None:
    small = Workload(measured=PIPELINE, megapixels=Decimal("0.25"), instance="ml.c6i.xlarge")
    question = build_question(small)
    assert question.profile.waits is not None
    assert 0 < question.apply_mode("realtime").seconds < question.profile.waits
    large = Workload(measured=PIPELINE, instance="ml.c6i.xlarge", gateway=True)
    with pytest.raises(CostError, match="behind API Gateway ends after 29 s"):
        build_question(large).require_mode("realtime")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"request_bytes": Decimal(1), "megapixels": Decimal(1)}, "request_bytes or megapixels, not both"),
        ({"latency": Decimal(1)}, "latency goes with measured"),
        ({"measured": PIPELINE, "concurrency": 2}, "measured or concurrency, not both: the measured rate"),
        ({"utilisation": Decimal(2)}, "utilisation is above 0 and at most 100%"),
        ({"memory_mb": 0}, "memory_mb is above 0"),
        ({"model": "image-similarity", "codec": "webp"}, "codec knows the answers of image-super-resolution"),
    ],
)
def test_contradictions_are_refused_in_the_words_of_the_fields(fields, expected) -> None:
    with pytest.raises(WorkloadError, match=expected):
        Workload(**fields)
