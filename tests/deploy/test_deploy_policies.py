"""`pixelserve deploy --print-policy`: every call that the commands make is allowed, and a plan changes nothing.

The calls are those that botocore announces while the commands run on moto; moto's reader of IAM policies judges them.
What CloudFormation calls by itself is in `test_deploy_commands`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.handlers
import ci_deploy
import pytest
from botocore.exceptions import EndpointConnectionError
from cloud import ACCOUNT, name_image, open_account
from moto.iam.access_control import IAMPolicy, PermissionResult
from servers import free_port

from pixelserve_deploy import cli
from pixelserve_deploy.aws import Registry, make_client
from pixelserve_deploy.deployment import make_policies, make_spec

NAME = "upscaler"
READING = re.compile(r"\w+:(Get|List|Describe|BatchGet|Filter)\w+")
RENAMED = {
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
}
"""Actions whose names are not those of the operations: `Actions, resources, and condition keys`, IAM's reference."""
PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}
"""Services whose actions begin otherwise than their requests are signed."""
FREE = {"sts:GetCallerIdentity"}
"""Needs no permission (STS API reference)."""

INLINE = 10_240
"""Characters that the inline policies of a role may have, without spaces (`IAM and AWS STS quotas`)."""

Call = tuple[str, dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Every call of every client that is made from now on: its IAM action, and its parameters."""
    made: list[Call] = []

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.signing_name
        made.append((f"{PREFIXES.get(service, service)}:{model.name}", dict(params)))

    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-parameter-build", record)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    return made


def locate(action: str, parameters: dict[str, Any], region: str) -> list[str]:
    """What a call is about, in the policies' terms."""
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    service, _, operation = action.partition(":")
    if service == "cloudformation":
        rest = [f"cloudformation:{region}:{ACCOUNT}:stack/pixelserve-{NAME}/0a1b2c3d"]
    elif service == "ecr":
        rest = [f"ecr:{region}:{ACCOUNT}:repository/{parameters['repositoryName']}"]
    elif operation == "DescribeLogGroups":  # hashicorp/terraform-provider-aws, issue 8804
        rest = [f"logs:{region}:{ACCOUNT}:log-group::log-stream:"]
    elif operation == "ListTagsForResource":
        return [parameters["resourceArn"]]
    elif service == "logs":
        rest = [f"logs:{region}:{ACCOUNT}:log-group:{parameters['logGroupName']}"]
    elif operation == "DeleteObjects":
        rest = [f"s3:::{parameters['Bucket']}/{found['Key']}" for found in parameters["Delete"]["Objects"]]
    elif service == "s3":
        rest = [f"s3:::{parameters['Bucket']}"]
    elif service == "sagemaker" and "EndpointName" in parameters:
        rest = [f"sagemaker:{region}:{ACCOUNT}:endpoint/{parameters['EndpointName']}"]
    elif service == "sagemaker" and not operation.startswith("List"):
        key = "ModelName" if "ModelName" in parameters else "EndpointConfigName"
        kind = {"ModelName": "model", "EndpointConfigName": "endpoint-config"}[key]
        rest = [f"sagemaker:{region}:{ACCOUNT}:{kind}/{parameters[key].lower()}"]
    else:
        return ["*"]
    return [f"arn:{partition}:{one}" for one in rest]


def find_refused(role: dict[str, Any], calls: list[Call], region: str) -> set[str]:
    """The actions that a role may not take on what they were called for."""
    judge = IAMPolicy(json.dumps(role["permissions"]))
    return {
        name
        for action, parameters in calls
        if action not in FREE
        for name in RENAMED.get(action, (action,))
        for resource in locate(action, parameters, region)
        if judge.is_action_permitted(name, resource) is not PermissionResult.PERMITTED
    }


def print_policies(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.main(["deploy", NAME, *words, "--print-policy", "owner/name"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("us-east-2", ["--most", "3", "--weights", "s3://weights/x4/"]),
        ("cn-northwest-1", ["--mode", "async", "--instances", "ml.g4dn.2xlarge", "--most", "2"]),
        ("us-east-2", ["--mode", "serverless"]),
        ("cn-northwest-1", ["--mode", "lambda"]),
    ],
    ids=["realtime", "async", "serverless", "lambda"],
)
def test_every_call_is_allowed_and_a_plan_changes_nothing(
    region: str,
    words: list[str],
    cloud: str,
    calls: list[Call],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    aws = open_account(cloud, region, monkeypatch)
    if "--weights" in words:
        aws("s3").create_bucket(Bucket="weights", CreateBucketConfiguration={"LocationConstraint": region})
        aws("s3").put_object(Bucket="weights", Key="x4/x4.safetensors", Body=b"x")
    words = ["--image", name_image(region), *words]
    policies = print_policies(words, capsys)
    quick = ["--poll", "0.01"]

    calls.clear()
    assert cli.main(["deploy", NAME, *words, *quick, "--plan"]) == 10
    assert find_refused(policies["plan"], calls, region) == set()
    assert aws("cloudformation").describe_stacks()["Stacks"] == []
    assert find_refused(policies["deploy"], calls, region) == set()

    calls.clear()
    assert cli.main(["deploy", NAME, *words, *quick, "--yes"]) == 0
    made = [*calls]
    for bucket in aws("s3").list_buckets()["Buckets"]:
        aws("s3").put_object(Bucket=bucket["Name"], Key="results/1.out", Body=b"x")
    if "lambda" not in words:
        _leave_pair(aws)
    calls.clear()
    assert cli.main(["deploy", NAME, *words, *quick, "--plan"]) == 0
    assert find_refused(policies["plan"], calls, region) == set()
    calls[:0] = made  # without the test's own
    assert cli.main(["destroy", NAME, *quick, "--yes"]) == 0
    assert len({action for action, _ in calls}) > 12
    assert find_refused(policies["deploy"], calls, region) == set()
    changing = [call for call in calls if not READING.fullmatch(call[0]) and "ChangeSet" not in call[0]]
    assert (
        find_refused(policies["plan"], changing, region)
        == {name for action, _ in changing for name in RENAMED.get(action, (action,))} - FREE
    )
    assert "ExecuteChangeSet" in str(calls)
    assert "cloudformation:ExecuteChangeSet" in find_refused(policies["plan"], calls, region)
    actions = {action for found in policies["plan"]["permissions"]["Statement"] for action in found["Action"]}
    assert {action for action in actions if not READING.fullmatch(action)} == {
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
    }


def _leave_pair(aws: Callable[[str], Any]) -> None:
    """A model as UpdateReplacePolicy Retain leaves it; `destroy` removes it."""
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    tags = [{"Key": "pixelserve", "Value": NAME}]
    aws("sagemaker").create_model(ModelName="Left", ExecutionRoleArn=role, PrimaryContainer={}, Tags=tags)


def test_the_smoke_test_calls_nothing_but_the_endpoint(
    calls: list[Call], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    end = {"name": NAME, "region": "us-east-2"}
    with pytest.raises(EndpointConnectionError):
        ci_deploy.predict(end, None, ci_deploy.draw_picture(), "image/png")
    assert [action for action, _ in calls] == ["sagemaker:InvokeEndpoint"]
    policies = print_policies(["--image", name_image("us-east-2")], capsys)
    assert find_refused(policies["deploy"], calls, "us-east-2") == set()
    assert find_refused(policies["plan"], calls, "us-east-2") == {"sagemaker:InvokeEndpoint"}


BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/bound"


def judge_deploy(fields: dict[str, Any]) -> Callable[..., bool]:
    """Whether the role that deploys a spec may take an action on something; keywords are condition keys' values."""
    spec = make_spec({"name": NAME, "image": name_image("us-east-2"), **fields})
    judge = IAMPolicy(json.dumps(make_policies(spec, "owner/name")["deploy"]["permissions"]))

    def is_permitted(action: str, resource: str, context: dict[str, str] | None = None) -> bool:
        return judge.is_action_permitted(action, resource, None, context) is PermissionResult.PERMITTED

    return is_permitted


def test_an_endpoint_is_made_of_a_configuration() -> None:
    """CreateEndpoint's API reference, option 2: both ARNs; aws/aws-cdk, issue 11594, for UpdateEndpoint."""
    is_permitted = judge_deploy({})
    place = f"arn:aws:sagemaker:us-east-2:{ACCOUNT}"
    for action in ("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"):
        assert is_permitted(action, f"{place}:endpoint/{NAME}")
        assert is_permitted(action, f"{place}:endpoint-config/endpointconfig-0a1b2c3d")
        assert not is_permitted(action, f"{place}:endpoint/other")
    assert not is_permitted("sagemaker:DeleteEndpoint", f"{place}:endpoint-config/endpointconfig-0a1b2c3d")


def test_what_others_made_is_not_deleted() -> None:
    is_permitted = judge_deploy({"most": 3})
    ours, theirs = ({"aws:ResourceTag/pixelserve": name} for name in (NAME, "other"))
    for kind in ("Model", "EndpointConfig"):
        arn = f"arn:aws:sagemaker:us-east-2:{ACCOUNT}:{'model' if kind == 'Model' else 'endpoint-config'}/x"
        assert is_permitted(f"sagemaker:Delete{kind}", arn, ours)
        assert not is_permitted(f"sagemaker:Delete{kind}", arn, theirs)
        assert is_permitted(f"sagemaker:Describe{kind}", arn, theirs)  # what is gone has no tags
    for action in ("DeregisterScalableTarget", "DeleteScalingPolicy", "RegisterScalableTarget", "PutScalingPolicy"):
        key = "application-autoscaling:service-namespace"
        assert is_permitted(f"application-autoscaling:{action}", "*", {key: "sagemaker"})
        assert not is_permitted(f"application-autoscaling:{action}", "*", {key: "dynamodb"})


def test_a_boundary_bounds_what_the_role_makes() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/pixelserve-{NAME}-Role-0A1B2C3D4E5F"
    is_permitted, is_free = judge_deploy({"permissions_boundary": BOUNDARY}), judge_deploy({})
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        assert is_permitted(action, role, {"iam:PermissionsBoundary": BOUNDARY})
        assert not is_permitted(
            action, role, {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
        )
        assert is_free(action, role)
    for action in ("iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary"):
        assert not is_permitted(action, role)
        assert not is_free(action, role)


def test_who_prints_policies_without_a_boundary_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["deploy", NAME, "--image", name_image("us-east-2"), "--print-policy", "owner/name"]
    assert cli.main(words) == 0
    assert "can make itself administrator" in capsys.readouterr().err
    assert cli.main([*words, "--permissions-boundary", BOUNDARY]) == 0
    assert cli.main([*words, "--role", f"arn:aws:iam::{ACCOUNT}:role/run"]) == 0
    assert capsys.readouterr().err == ""


def test_names_that_cloudformation_cuts_are_held() -> None:
    """It cuts the stack's name, so that the whole has 64 letters."""
    name = "image-super-resolution-of-the-production-account"
    is_permitted = judge_deploy({"name": name, "mode": "async", "ttl_hours": 1, "output": "s3://results/"})
    cut = f"pixelserve-{name}"[:24]
    assert is_permitted("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/{cut}-Role-0A1B2C3D4E5F")
    assert is_permitted("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{cut}-ExpiryRole-0A1B2C3D4E5F")
    schedule = f"arn:aws:scheduler:us-east-2:{ACCOUNT}:schedule/default/{cut}-ExpirySchedule-0A1B2C3D4E5F"
    assert is_permitted("scheduler:CreateSchedule", schedule)
    assert judge_deploy({"name": name, "mode": "async"})("s3:CreateBucket", f"arn:aws:s3:::{cut}-bucket-0a1b2c3d4e5f")
    is_short = judge_deploy({"mode": "async"})
    assert is_short("s3:CreateBucket", f"arn:aws:s3:::pixelserve-{NAME}-bucket-0a1b2c3d4e5f")
    assert not is_short("s3:CreateBucket", f"arn:aws:s3:::pixelserve-{NAME}2-bucket-0a1b2c3d4e5f")


def test_a_function_may_be_let_pull_its_image() -> None:
    """`Amazon ECR permissions`, Lambda's developer guide: it sets the repository's policy with its caller's rights."""
    repository = f"arn:aws:ecr:us-east-2:{ACCOUNT}:repository/pixelserve"
    closed = {"subnets": ["subnet-0123456789abcdef0"], "security_groups": ["sg-0123456789abcdef0"]}
    in_network = judge_deploy({"mode": "lambda", **closed})
    for action in ("ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy"):
        assert in_network(action, repository)
        assert not judge_deploy({})(action, repository)
    for action in ("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"):
        assert in_network(action, "*")
        assert not judge_deploy({"mode": "lambda"})(action, "*")


@pytest.mark.parametrize(("region", "partition"), [("us-east-2", "aws"), ("cn-northwest-1", "aws-cn")])
def test_each_role_is_for_its_own_jobs(
    region: str, partition: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["deploy", NAME, "--image", name_image(region), "--print-policy", "owner@1/name@2"]
    assert cli.main([*words, "--github-environment", "staging"]) == 0
    policies = json.loads(capsys.readouterr().out)
    contexts = {"plan": "pull_request", "push": "environment:release", "deploy": "environment:staging"}
    assert [*policies] == [*contexts]
    for role, context in contexts.items():
        assert len(json.dumps(policies[role]["permissions"], separators=(",", ":"))) < INLINE
        (statement,) = policies[role]["trust"]["Statement"]
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        claims = statement["Condition"]["StringEquals"]
        assert claims["token.actions.githubusercontent.com:sub"] == [
            f"repo:owner/name:{context}",
            f"repo:owner@1/name@2:{context}",
        ]
        audience = "sts.amazonaws.com" + (".cn" if partition == "aws-cn" else "")
        assert claims["token.actions.githubusercontent.com:aud"] == audience
        resources = json.dumps(policies[role]["permissions"])
        assert {found.group(1) for found in re.finditer(r"arn:(aws[\w-]*):", resources)} == {partition}


def test_pushing_needs_what_the_push_role_has(
    cloud: str, calls: list[Call], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The control plane; layers go by the registry's own protocol, whose permissions are those of ECR's guide."""
    monkeypatch.chdir(tmp_path)
    open_account(cloud, "us-east-2", monkeypatch)
    calls.clear()
    registry = Registry(make_client("ecr", "us-east-2", None))
    assert registry.find("team/upscaler") is None
    registry.create("team/upscaler")
    registry.login()
    assert not registry.has("team/upscaler", "1")
    made = [(action, given | {"repositoryName": "team/upscaler"}) for action, given in calls]
    assert len(made) == 4
    image = f"{ACCOUNT}.dkr.ecr.us-east-2.amazonaws.com/team/upscaler:1"
    policies = print_policies(["--image", image], capsys)
    assert find_refused(policies["push"], made, "us-east-2") == set()
    assert find_refused(policies["deploy"], made, "us-east-2") == {action for action, _ in made}
