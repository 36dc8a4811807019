"""Templates: cfn-lint's word on each in both partitions, its size, and what CloudFormation's schemas say of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from endpoint_specs import DIGEST, FIELDS, NOW, REGIONS, build_facts, build_spec

from pixelserve_deploy.deployment.notes import list_notes
from pixelserve_deploy.deployment.refusals import refuse
from pixelserve_deploy.deployment.rules import check_template
from pixelserve_deploy.deployment.spec import Update
from pixelserve_deploy.deployment.templates import (
    LARGEST_TEMPLATE,
    build_template,
    choose_update,
    find_end,
    keep_end,
    render,
)

EVERY = pytest.mark.parametrize("name", FIELDS)
EVERYWHERE = pytest.mark.parametrize("region", REGIONS)


def build(name: str, region: str = "us-east-2", **fields: Any) -> dict[str, Any]:
    """The resources of a template."""
    resources: dict[str, Any] = build_template(build_spec(name, region, **fields), build_facts(region))["Resources"]
    return resources


def find_schema(region: str, kind: str) -> dict[str, Any]:
    """The schema of a resource type that cfn-lint brings."""
    schema: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
    return schema


@EVERY
@EVERYWHERE
def test_cfn_lint_has_nothing_to_say(judge: Callable[[str, str], list[Any]], name: str, region: str) -> None:
    assert judge(render(build_template(build_spec(name, region), build_facts(region))), region) == []


def test_cfn_lint_is_listening(judge: Callable[[str, str], list[Any]]) -> None:
    template = build_template(build_spec("realtime"), build_facts())
    template["Resources"]["EndpointConfig"]["Properties"]["ProductionVariants"][0]["InstanceType"] = "ml.g4dn.tiny"
    assert [found.rule.id for found in judge(render(template), "us-east-2")] == ["E3030"]


@EVERY
@EVERYWHERE
def test_a_template_is_sent_inline(name: str, region: str) -> None:
    """`-rA` prints the sizes."""
    template = build_template(build_spec(name, region), build_facts(region))
    size = len(render(template).encode())
    sys.stdout.write(f"{name} in {region}: {size:,} bytes\n")
    assert size < LARGEST_TEMPLATE / 4
    assert json.loads(render(template)) == template


@EVERY
@EVERYWHERE
def test_neither_refusals_nor_rules_have_anything_to_say(name: str, region: str) -> None:
    spec, facts = build_spec(name, region), build_facts(region)
    assert refuse(spec, facts) == []
    assert check_template(build_template(spec, facts), facts) == []


@EVERY
@EVERYWHERE
def test_what_can_have_tags_has_them(name: str, region: str) -> None:
    for resource in build(name, region, tags={"team": "pictures"}).values():
        tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
        if find_schema(region, resource["Type"])["tagging"]["taggable"]:
            assert tags == {"team": "pictures", "pixelserve": "upscaler", "pixelserve:mode": tags["pixelserve:mode"]}
        else:
            assert tags == {}


@EVERYWHERE
def test_an_image_goes_by_its_digest(region: str) -> None:
    image = build("realtime", region)["Model"]["Properties"]["PrimaryContainer"]["Image"]
    assert image.endswith(f"/pixelserve@{DIGEST}")
    assert build("lambda", region)["Function"]["Properties"]["Code"]["ImageUri"].endswith(f"/pixelserve@{DIGEST}")


def test_real_time_scales_on_requests_in_work() -> None:
    resources = build("scaled")
    target, policy = resources["ScalableTarget"]["Properties"], resources["ScalingPolicy"]["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    metric = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    assert metric == {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
    assert "ScalableTarget" not in build("realtime")


def test_asynchronous_starts_with_one_sleeps_at_none_and_wakes() -> None:
    resources = build("async")
    variant = resources["EndpointConfig"]["Properties"]["ProductionVariants"][0]
    assert variant["InitialInstanceCount"] == 1
    assert resources["ScalableTarget"]["Properties"]["MinCapacity"] == 0
    alarm = resources["WakeAlarm"]["Properties"]
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["AlarmActions"] == [{"Ref": "WakePolicy"}]
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": "upscaler"}]
    assert "WakeAlarm" not in build("async-elsewhere")


def test_asynchronous_results_go_where_the_spec_says() -> None:
    assert "Bucket" in build("async")
    resources = build("async-elsewhere")
    assert "Bucket" not in resources
    output = resources["EndpointConfig"]["Properties"]["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == "s3://results/here/results/"
    assert output["S3FailurePath"] == "s3://results/here/failures/"


@EVERY
def test_an_end_that_only_moves_stays_until_it_has_come(name: str) -> None:
    spec, others = build_spec(name, ttl_hours=8), build_spec(name, ttl_hours=9)
    standing = json.loads(render(build_template(spec, build_facts())))
    hour = timedelta(hours=1)
    later, longer = (build_template(one, build_facts(now=NOW + hour)) for one in (spec, others))
    assert keep_end(standing, later, NOW + hour) == standing
    assert find_end(standing) == NOW + 8 * hour
    assert keep_end(standing, later, NOW + 8 * hour) is later
    assert keep_end(standing, longer, NOW + hour) is longer


@pytest.mark.parametrize(("base", "seconds"), [("async", "3600"), ("lambda", "120"), ("realtime", None)])
def test_the_server_refuses_by_the_time_that_its_mode_gives(base: str, seconds: str | None) -> None:
    """InvokeEndpointAsync and AWS Lambda: their time-outs; in real time the server's own 60 s are SageMaker's."""
    resources = build(base)
    if base == "lambda":
        variables = resources["Function"]["Properties"]["Environment"]["Variables"]
    else:
        variables = resources["Model"]["Properties"]["PrimaryContainer"].get("Environment", {})
    assert variables.get("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS") == seconds
    own = build(base, environment={"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7"})
    assert '"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7"' in json.dumps(own)


def test_several_features_are_a_multi_model_container() -> None:
    container = build("several")["Model"]["Properties"]["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", "s3://weights/archives/")


def test_an_isolated_container_is_told_not_to_fetch() -> None:
    assert build("closed")["Model"]["Properties"]["PrimaryContainer"]["Environment"] == {"PIXELSERVE_FETCH": "false"}


def test_instance_pools_keep_their_order() -> None:
    variant = build("pools")["EndpointConfig"]["Properties"]["ProductionVariants"][0]
    assert "InstanceType" not in variant
    pools = [(pool["Priority"], pool["InstanceType"]) for pool in variant["InstancePools"]]
    assert pools == [(1, "ml.g4dn.xlarge"), (2, "ml.g5.xlarge"), (3, "ml.g6.xlarge")]


@pytest.mark.parametrize("observability", [True, False])
def test_detailed_observability_is_said_either_way(observability: bool) -> None:
    """It is on where a new configuration says nothing."""
    config = build("realtime", observability=observability)["EndpointConfig"]["Properties"]["MetricsConfig"]
    assert config == {"EnableDetailedObservability": observability}
    notes = str(list_notes(build_spec("realtime", observability=observability), build_facts()))
    assert ("CloudWatch bills some hundred metrics" in notes) is observability


def test_raw_images_are_captured_as_base64() -> None:
    """Only what is named as JSON or CSV is captured as such."""
    capture = build("closed")["EndpointConfig"]["Properties"]["DataCaptureConfig"]
    assert capture["CaptureContentTypeHeader"] == {"JsonContentTypes": ["application/json"]}
    assert capture["InitialSamplingPercentage"] == 5


def test_a_function_has_a_signed_url_where_there_are_any() -> None:
    assert build("lambda")["FunctionUrl"]["Properties"]["AuthType"] == "AWS_IAM"
    assert "FunctionUrl" not in build("lambda", "cn-northwest-1")


@pytest.mark.parametrize(
    ("fields", "quota", "update"),
    [
        ({"count": 2}, None, Update.BLUE_GREEN),
        ({"count": 2}, 4, Update.BLUE_GREEN),
        ({"count": 2}, 3, Update.ROLLING),
        ({"count": 1}, 1, Update.BLUE_GREEN),
        ({"count": 2, "update": "rolling"}, 100, Update.ROLLING),
    ],
)
def test_the_update_is_what_the_quota_allows(fields: dict[str, Any], quota: int | None, update: Update) -> None:
    quotas = {} if quota is None else {"ml.g4dn.xlarge": quota}
    assert choose_update(build_spec("realtime", **fields), build_facts(quotas=quotas)) is update


@pytest.mark.parametrize(
    ("base", "region", "quota", "told"),
    [
        ("realtime", "us-east-2", 2, []),
        ("realtime", "us-east-2", 1, ["An update takes 2 x ml.g4dn.xlarge for some minutes, and the quota is 1: it "]),
        (
            "scaled",
            "us-east-2",
            3,
            [
                "The quota of 3 x ml.g4dn.xlarge does not hold twice the instances: updates are",
                "An update keeps the instances that scaling has come to, and takes up to 6 x ml.g4dn.xlarge",
            ],
        ),
        ("scaled", "us-east-2", 2, ["An update takes 4 x ml.g4dn.xlarge for some minutes, and the quota is 2: it "]),
        ("scaled", "us-east-2", 7, ["An update keeps the instances that scaling has come to, and takes up to 8 x"]),
        ("scaled", "us-east-2", 8, []),
        ("rolling", "us-east-2", 3, []),
        ("closed", "us-east-2", 9, ["The container is isolated: requests with a `url` are refused"]),
        (
            "several",
            "us-east-2",
            9,
            [
                "Callers choose a feature by TargetModel: image-similarity.tar.gz",
                "AWS supports several models on a GPU with its NVIDIA Triton container only",
            ],
        ),
        ("lambda", "us-east-2", 0, []),
        (
            "lambda-closed",
            "us-east-2",
            0,
            ["400 x 400 pixels are advised on a CPU; an image that would take more than 60"],
        ),
        ("lambda", "cn-northwest-1", 0, ["cn-northwest-1 has no function URLs"]),
    ],
)
def test_a_plan_tells_what_nothing_refuses(base: str, region: str, quota: int, told: list[str]) -> None:
    facts = build_facts(region, quotas={"ml.g4dn.xlarge": quota})
    notes = list_notes(build_spec(base, region, observability=False), facts)
    assert len(notes) == len(told)
    assert all(note.startswith(beginning) for note, beginning in zip(notes, told, strict=True))


def test_several_features_on_a_cpu_are_as_aws_supports_them() -> None:
    spec = build_spec("several", instances=["ml.c6i.xlarge"])
    assert "Triton" not in str(list_notes(spec, build_facts()))


@pytest.mark.parametrize(
    ("cuda", "ami"),
    [
        (None, "al2-ami-sagemaker-inference-gpu-3-1"),
        ("12.8", "al2-ami-sagemaker-inference-gpu-3-1"),
        ("13.0", "al2023-ami-sagemaker-inference-gpu-4-1"),
    ],
)
def test_the_machine_image_fits_the_cuda_of_the_image(cuda: str | None, ami: str) -> None:
    config = build_template(build_spec("realtime"), build_facts(cuda=cuda))["Resources"]["EndpointConfig"]
    assert config["Properties"]["ProductionVariants"][0]["InferenceAmiVersion"] == ami


def list_allowed(role: dict[str, Any]) -> Iterator[str]:
    for policy in role["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            yield from statement["Action"]


@pytest.mark.parametrize("name", ["hours", "lambda-closed"])
def test_the_role_at_the_end_may_delete_all_that_the_stack_has(name: str) -> None:
    """The schemas say what CloudFormation's handlers call."""
    resources = build(name)
    allowed = [action.lower() for action in list_allowed(resources["ExpiryRole"])]
    for resource in resources.values():
        for needed in find_schema("us-east-2", resource["Type"])["handlers"]["delete"]["permissions"]:
            assert any(fnmatchcase(needed.lower(), action) for action in allowed), needed


def test_the_role_at_the_end_is_told_that_the_endpoint_is_gone() -> None:
    """What is gone has no tags, so a condition on them would answer AccessDenied where CloudFormation waits for the
    end."""
    (policy,) = build("hours")["ExpiryRole"]["Properties"]["Policies"]
    (found,) = [one for one in policy["PolicyDocument"]["Statement"] if "sagemaker:DescribeEndpoint" in one["Action"]]
    assert "Condition" not in found
    assert found["Resource"]["Fn::Sub"].endswith(":endpoint/upscaler")


def test_the_role_at_the_end_goes_last() -> None:
    for name, resource in build("hours").items():
        if name not in ("ExpiryRole", "ExpirySchedule"):
            assert resource["DependsOn"] == ["ExpiryRole"]


def test_the_end_is_counted_from_the_deployment() -> None:
    schedule = build("async-elsewhere")["ExpirySchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == "at(2026-03-01T15:00:00)"
    assert schedule["Target"]["RoleArn"].endswith(":role/end")


def test_a_given_role_leaves_none_to_make() -> None:
    for name in ("own-role", "async-elsewhere"):
        assert "AWS::IAM::Role" not in {resource["Type"] for resource in build(name).values()}


def test_every_role_has_the_boundary() -> None:
    for resource in build("closed", ttl_hours=1).values():
        if resource["Type"] == "AWS::IAM::Role":
            assert resource["Properties"]["PermissionsBoundary"] == "arn:aws:iam::123456789012:policy/bound"
