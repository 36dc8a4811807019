"""Whatever is not refused makes a template that the rules have nothing to say of, whoever put the fields together."""

from __future__ import annotations

from typing import Any

from endpoint_specs import REGIONS, build_facts, build_spec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from pixelserve_deploy.deployment.ami import AMIS
from pixelserve_deploy.deployment.refusals import refuse
from pixelserve_deploy.deployment.rules import check_template
from pixelserve_deploy.deployment.spec import Mode, Update
from pixelserve_deploy.deployment.steps import split_update
from pixelserve_deploy.deployment.templates import build_template

TYPES = ("ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.g5.xlarge", "ml.c6i.xlarge", "ml.m5.large")
PLACES = ("", "s3://bucket/", "s3://bucket/prefix/", "s3://bucket/model.tar.gz", "s3://bucket/prefix")
FEATURES = ("image-similarity", "image-super-resolution", "human-image-segmentation")
fields = st.fixed_dictionaries(
    {"mode": st.sampled_from(Mode)},
    optional={
        "instances": st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
        "count": st.integers(0, 3),
        "most": st.integers(1, 4),
        "ami": st.sampled_from(["", *AMIS]),
        "update": st.sampled_from(Update),
        "memory_mb": st.sampled_from([1024, 3000, 6144, 10240]),
        "concurrency": st.integers(1, 300),
        "features": st.lists(st.sampled_from(FEATURES), max_size=2),
        "weights": st.sampled_from(PLACES),
        "output": st.sampled_from(PLACES),
        "capture": st.sampled_from(PLACES),
        "network_isolation": st.booleans(),
        "role": st.sampled_from(["", "arn:aws:iam::123456789012:role/run"]),
        "ttl_hours": st.sampled_from([1, 24]),
    },
)
facts = st.fixed_dictionaries(
    {"cuda": st.sampled_from([None, "", "11.4", "12.8", "13.0"])},
    optional={"quotas": st.dictionaries(st.sampled_from(TYPES), st.integers(0, 8))},
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(REGIONS)), fields, facts)
def test_refusals_and_rules_say_the_same(region: str, given: dict[str, Any], known: dict[str, Any]) -> None:
    spec, around = build_spec("realtime", region, **given), build_facts(region, **known)
    if refuse(spec, around):
        event("refused")
        return
    template = build_template(spec, around)
    assert check_template(template, around) == []
    for step in split_update(build_template(build_spec("async", region), around), template):
        assert check_template(step, around) == []
