"""Every way in which `deploy` and `destroy` can end: what is printed, and the exit code. AWS's answers are scripted.

Answers have the shape of botocore's service models, which `scripted` checks. Sentences are AWS's own, from: the API
references' errors; CloudFormation User Guide, `Troubleshooting CloudFormation` and `Continue rolling back an update`;
SageMaker AI developer guide, `Troubleshoot Amazon SageMaker model deployments`; and the issues named beside them. None
of this has been seen on AWS.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from scripted import ACCOUNT, BEGIN, REGION, Scripted, Story, error

from pixelserve_deploy import cli
from pixelserve_deploy.deployment import Facts, build_template, make_spec

NAME = "upscaler"
STACK = "pixelserve-upscaler"
GROUP = "/aws/sagemaker/Endpoints/upscaler"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pixelserve:1"
DIGEST = "sha256:" + "d" * 64
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CHANGE_SET = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:changeSet/pixelserve-1/0a1b"
GONE = error("ValidationError", f"Stack with id {STACK} does not exist")
DEPLOY = ["deploy", NAME, "--image", IMAGE, "--region", REGION, "--yes", "--poll", "0"]
DESTROY = ["destroy", NAME, "--region", REGION, "--yes", "--poll", "0"]
UNHEALTHY = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
    "CloudWatch logs for this endpoint."
)
QUOTA = (
    "The account-level service limit 'ml.g4dn.xlarge for endpoint usage' is 0 Instances, with current utilization of 0 "
    "Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request an increase for this quota."
)
CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
    "different ML instance type or after some time."
)
NO_ROLE = (  # aws-samples/amazon-sagemaker-cdk-examples, issue 7
    f"The role 'arn:aws:iam::{ACCOUNT}:role/r' does not have BatchGetImage permission for the image: '{IMAGE}'."
)
DEPLOYED = {
    "Metadata": {"pixelserve": {"mode": "realtime"}},
    "Resources": {
        "Model": {"Type": "AWS::SageMaker::Model", "Properties": {}},
        "EndpointConfig": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {
                "ProductionVariants": [
                    {"VariantName": "AllTraffic", "InstanceType": "ml.g4dn.xlarge", "InitialInstanceCount": 1}
                ]
            },
        },
        "Endpoint": {"Type": "AWS::SageMaker::Endpoint", "Properties": {"EndpointName": NAME}},
    },
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """An account in which the preflight finds all well and no stack is there."""
    monkeypatch.chdir("/")
    script = Scripted(monkeypatch)
    script.answer("sts", "GetCallerIdentity", {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/me"})
    manifest = json.dumps({"mediaType": MANIFEST, "layers": [{"size": 3_100_000_000}]})
    image = {"imageId": {"imageDigest": DIGEST}, "imageManifest": manifest, "imageManifestMediaType": MANIFEST}
    script.answer("ecr", "BatchGetImage", {"images": [image]})
    quota = {"QuotaName": "ml.g4dn.xlarge for endpoint usage", "Value": 4.0}
    script.answer("service-quotas", "ListServiceQuotas", {"Quotas": [quota]})
    script.answer("logs", "CreateLogGroup", {})
    script.answer("logs", "PutRetentionPolicy", {})
    group = {
        "logGroupName": GROUP,
        "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*",
        "storedBytes": 12_345,
    }
    script.answer("logs", "DescribeLogGroups", {"logGroups": [{**group, "logGroupName": f"{GROUP}-2"}, group]})
    script.answer("cloudformation", "DeleteChangeSet", {})
    script.answer("cloudformation", "ExecuteChangeSet", {})
    script.answer("cloudformation", "DeleteStack", {})
    script.answer("cloudformation", "GetTemplate", {"TemplateBody": json.dumps(DEPLOYED)})
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    configs = [
        {"EndpointConfigName": f"Config-{age}", "EndpointConfigArn": f"{arn}:endpoint-config/x", "CreationTime": BEGIN}
        for age in ("NEW", "OLD", "OTHER")
    ]
    models = [
        {"ModelName": f"Model-{age}", "ModelArn": f"{arn}:model/x", "CreationTime": BEGIN}
        for age in ("NEW", "OLD", "OTHER")
    ]
    script.answer("sagemaker", "ListEndpointConfigs", {"EndpointConfigs": configs})
    script.answer("sagemaker", "ListModels", {"Models": models})
    script.answer("sagemaker", "DeleteEndpointConfig", {})
    script.answer("sagemaker", "DeleteModel", {})
    return script


def propose(aws: Scripted, story: Story, *, update: bool = False) -> None:
    """A change set that can be executed."""
    aws.answer("cloudformation", "CreateChangeSet", {"Id": CHANGE_SET, "StackId": story.id})
    change: dict[str, Any] = {
        "Action": "Add",
        "LogicalResourceId": "Endpoint",
        "ResourceType": "AWS::SageMaker::Endpoint",
    }
    if update:
        target = {"Attribute": "Properties", "Name": "PrimaryContainer", "RequiresRecreation": "Always"}
        change = {
            "Action": "Modify",
            "LogicalResourceId": "Model",
            "ResourceType": "AWS::SageMaker::Model",
            "Replacement": "True",
            "Details": [{"Target": target}],
        }
    answer = {"Status": "CREATE_COMPLETE", "Changes": [{"Type": "Resource", "ResourceChange": change}]}
    aws.answer("cloudformation", "DescribeChangeSet", {"Status": "CREATE_PENDING"}, answer)


def happen(aws: Scripted, story: Story, *steps: Callable[[], object]) -> None:
    """At each look at the stack's events one more step has happened; first there is what was before."""
    answers = [story.so_far()]
    for step in steps:
        step()
        answers.append(story.so_far())
    aws.answer("cloudformation", "DescribeStackEvents", *answers)


def say(aws: Scripted, *lines: str) -> None:
    """What the container writes."""
    events = [
        {
            "eventId": str(number),
            "timestamp": int(1000 * BEGIN.timestamp()) + number,
            "logStreamName": "AllTraffic/i-1",
            "message": line,
        }
        for number, line in enumerate(lines)
    ]
    aws.answer("logs", "FilterLogEvents", {"events": events})


def silent(aws: Scripted) -> None:
    aws.answer("logs", "FilterLogEvents", error("ResourceNotFoundException", "The specified log group does not exist."))


def run_with(aws: Scripted, *, config: str, **endpoint: Any) -> None:
    """The endpoint's configuration, and the stack's, which is Config-NEW; Config-OLD has been left behind."""
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
    resources = [
        ("EndpointConfig", "AWS::SageMaker::EndpointConfig", f"{arn}:endpoint-config/config-new"),
        ("Model", "AWS::SageMaker::Model", f"{arn}:model/model-new"),
    ]
    summaries = [
        {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": physical,
         "LastUpdatedTimestamp": BEGIN, "ResourceStatus": "UPDATE_COMPLETE"}
        for name, kind, physical in resources
    ]  # fmt: skip
    aws.answer("cloudformation", "ListStackResources", {"StackResourceSummaries": summaries})
    described = {
        "EndpointName": NAME,
        "EndpointArn": f"{arn}:endpoint/{NAME}",
        "EndpointConfigName": config,
        "EndpointStatus": "InService",
        "CreationTime": BEGIN,
        "LastModifiedTime": BEGIN,
    }
    aws.answer("sagemaker", "DescribeEndpoint", {**described, **endpoint})
    tagged = [f"{arn}:endpoint-config/config-{age}" for age in ("new", "old")] + [
        f"{arn}:model/model-{age}" for age in ("new", "old")
    ]
    aws.answer(
        "resourcegroupstaggingapi",
        "GetResources",
        {"PaginationToken": "", "ResourceTagMappingList": [{"ResourceARN": arn} for arn in tagged]},
    )


def create(aws: Scripted, *events: Callable[[Story], object]) -> Story:
    """A stack that is created anew and goes through these events."""
    story = Story(STACK).stack("REVIEW_IN_PROGRESS", "User Initiated")
    aws.answer("cloudformation", "DescribeStacks", GONE)
    propose(aws, story)
    happen(
        aws, story, lambda: story.stack("CREATE_IN_PROGRESS", "User Initiated"), *(lambda e=e: e(story) for e in events)
    )
    return story


def update(aws: Scripted, *events: Callable[[Story], object]) -> Story:
    """A stack that is there and goes through these events."""
    story = Story(STACK).stack("CREATE_IN_PROGRESS", "User Initiated").stack("CREATE_COMPLETE")
    aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_COMPLETE"))
    propose(aws, story, update=True)
    happen(
        aws, story, lambda: story.stack("UPDATE_IN_PROGRESS", "User Initiated"), *(lambda e=e: e(story) for e in events)
    )
    return story


def fail(reason: str) -> list[Callable[[Story], object]]:
    """A creation that fails at the endpoint: what CloudFormation stops because of it comes first, then all goes."""
    return [
        lambda story: (
            story.tell("Alarm", "AWS::CloudWatch::Alarm", "CREATE_FAILED", "Resource creation cancelled"),
            story.tell("Endpoint", "AWS::SageMaker::Endpoint", "CREATE_FAILED", reason),
        ),
        lambda story: story.stack("DELETE_IN_PROGRESS", "The following resource(s) failed to create: [Endpoint]."),
        lambda story: story.stack("DELETE_COMPLETE"),
    ]


def finish(status: str) -> Callable[[Story], object]:
    return lambda story: story.stack(status)


def deploy(capsys: pytest.CaptureFixture[str], words: list[str] = DEPLOY) -> tuple[int, str]:
    """The exit code and all that was printed."""
    code = cli.main(words)
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_success(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    create(
        aws,
        lambda story: story.tell("Endpoint", "AWS::SageMaker::Endpoint", "CREATE_COMPLETE"),
        finish("CREATE_COMPLETE"),
    )
    silent(aws)
    run_with(aws, config="Config-NEW")
    code, printed = deploy(capsys)
    assert code == 0
    assert "CREATE_COMPLETE          Endpoint (SageMaker::Endpoint)\n" in printed
    assert printed.count("CREATE_IN_PROGRESS") == 1
    assert "upscaler is in service." in printed
    (made,) = aws.find("CreateChangeSet")
    assert (made["ChangeSetType"], made["OnStackFailure"], made["Capabilities"]) == (
        "CREATE",
        "DELETE",
        ["CAPABILITY_IAM"],
    )
    assert {"Key": "pixelserve", "Value": NAME} in made["Tags"]
    assert DIGEST in made["TemplateBody"]
    assert aws.find("PutRetentionPolicy") == [
        {"logGroupName": "/aws/sagemaker/Endpoints/upscaler", "retentionInDays": 30}
    ]


def test_an_update_removes_the_pair_that_it_replaced(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    update(aws, finish("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), finish("UPDATE_COMPLETE"))
    silent(aws)
    run_with(aws, config="Config-New")
    code, printed = deploy(capsys)
    assert code == 0
    assert "+/- Model  SageMaker::Model: PrimaryContainer\n" in printed
    assert "UPDATE_IN_PROGRESS" in printed
    assert "CREATE_COMPLETE" not in printed  # what was before is not told again
    assert "OnStackFailure" not in aws.find("CreateChangeSet")[0]
    assert aws.find("DeleteEndpointConfig") == [{"EndpointConfigName": "Config-OLD"}]
    assert aws.find("DeleteModel") == [{"ModelName": "Model-OLD"}]


def test_nothing_to_do(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(STACK)
    aws.answer("cloudformation", "DescribeStacks", story.described("UPDATE_COMPLETE"))
    aws.answer("cloudformation", "CreateChangeSet", {"Id": CHANGE_SET, "StackId": story.id})
    reason = "The submitted information didn't contain changes. Submit different information to create a change set."
    aws.answer("cloudformation", "DescribeChangeSet", {"Status": "FAILED", "StatusReason": reason})
    run_with(aws, config="config-new")
    code, printed = deploy(capsys, [*DEPLOY, "--plan"])
    assert code == 0
    assert "Nothing changes." in printed
    assert deploy(capsys)[0] == 0
    assert not aws.count("ExecuteChangeSet")
    assert aws.count("DeleteChangeSet") == 2


def test_a_plan_of_a_stack_that_stands_leaves_no_change_set(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    update(aws)
    code, printed = deploy(capsys, [*DEPLOY, "--plan"])
    assert code == 10
    assert "  +/- Model  SageMaker::Model: PrimaryContainer\n1 to replace.\nCost now:  $0.736 an hour" in printed
    assert not aws.count("ExecuteChangeSet")
    assert aws.find("DeleteChangeSet") == [{"ChangeSetName": CHANGE_SET}]
    assert not aws.count("DeleteStack")


@pytest.mark.parametrize("status", ["", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"])
def test_a_plan_of_what_is_not_there_makes_nothing(
    status: str, aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.answer("cloudformation", "DescribeStacks", Story(STACK).described(status) if status else GONE)
    code, printed = deploy(capsys, [*DEPLOY, "--plan"])
    assert code == 10
    assert "  +   Endpoint        SageMaker::Endpoint\n" in printed
    assert "Cost then: $0.736 an hour" in printed
    assert {name for name, _ in aws.calls} == {
        "GetCallerIdentity", "BatchGetImage", "ListServiceQuotas", "DescribeStacks",
    }  # fmt: skip


@pytest.mark.parametrize("status", ["", "REVIEW_IN_PROGRESS"])
def test_only_an_empty_stack_of_our_own_is_deleted_where_nobody_agrees(
    status: str, aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    story = create(aws)
    if status:  # another's, who is being asked at the same time
        aws.replace("cloudformation", "DescribeStacks", story.described(status))
    code, printed = deploy(capsys, [word for word in DEPLOY if word != "--yes"])
    assert code == 3
    assert "Nobody is there to answer" in printed
    assert aws.find("DeleteChangeSet") == [{"ChangeSetName": CHANGE_SET}]
    assert aws.find("DeleteStack") == ([] if status else [{"StackName": story.id}])


def test_a_container_that_never_becomes_healthy(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    create(aws, *fail(UNHEALTHY))
    say(
        aws,
        '{"level": "INFO", "message": "starting"}',
        '{"level": "ERROR", "message": "model_fn failed", "state": "load_failed"}',
        "RuntimeError: no weights in /opt/ml/model",
    )
    code, printed = deploy(capsys)
    assert code == 1
    assert printed.index("container | model_fn failed") < printed.index("DELETE_COMPLETE")
    assert "starting" not in printed
    assert "pixelserve deploy upscaler: failed; what was there before is there again.\n" in printed
    assert f"  cause:     Endpoint (AWS::SageMaker::Endpoint): {UNHEALTHY}\n" in printed
    assert "  container: RuntimeError: no weights in /opt/ml/model\n" in printed
    assert "docker run --rm" in printed


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (QUOTA, "The account's quota is too small."),
        (CAPACITY, "AWS has no free instance of this type there now; that is no quota."),
        ("Unsupported manifest media type application/vnd.oci.image.index.v1+json", "pixelserve push"),
        ("Could not find model data at s3://b/m.tar.gz.", "SageMaker cannot read the weights."),
        ("User: me is not authorized to perform: iam:PassRole on resource: r", "--print-policy"),
        ("Cannot create already existing endpoint", "Choose another name"),
    ],
)
def test_no_capacity_a_quota_and_ones_own_fault_are_told_apart(
    reason: str, advice: str, aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    create(aws, *fail(reason))
    silent(aws)
    code, printed = deploy(capsys)
    assert code == 1
    assert f"cause:     Endpoint (AWS::SageMaker::Endpoint): {reason}\n" in printed
    assert advice in printed.partition("  next:")[2]


def test_a_role_that_is_not_usable_yet_is_tried_once_more(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = create(aws, *fail(NO_ROLE))
    silent(aws)
    happen(aws, story)  # the last look at the first try
    happen(aws, story, lambda: story.stack("CREATE_IN_PROGRESS", "User Initiated").stack("CREATE_COMPLETE"))
    run_with(aws, config="config-new")
    code, printed = deploy(capsys)
    assert "New roles take a moment: trying once more." in printed
    assert code == 0
    assert aws.count("ExecuteChangeSet") == 2


def test_a_silent_rollback_is_no_success(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    update(aws, finish("UPDATE_COMPLETE"))  # hashicorp/terraform-provider-aws, issue 39099
    silent(aws)
    run_with(aws, config="Config-OLD", FailureReason=UNHEALTHY)
    code, printed = deploy(capsys)
    assert code == 1
    assert (
        f"The endpoint still runs Config-OLD, which is not the stack's: SageMaker took the update back ({UNHEALTHY})."
        in printed
    )
    assert not aws.count("DeleteEndpointConfig")  # the old pair is what runs
    assert not aws.count("DeleteModel")


def test_an_update_that_fails_is_undone(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    update(
        aws,
        lambda story: story.tell("Endpoint", "AWS::SageMaker::Endpoint", "UPDATE_FAILED", CAPACITY),
        finish("UPDATE_ROLLBACK_IN_PROGRESS"),
        finish("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
        finish("UPDATE_ROLLBACK_COMPLETE"),
    )
    silent(aws)
    code, printed = deploy(capsys)
    assert code == 1
    assert "Give several in order of preference" in printed
    assert not aws.count("DeleteModel")


def test_a_rollback_that_fails_needs_a_person(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = update(
        aws,
        lambda story: story.tell("Endpoint", "AWS::SageMaker::Endpoint", "UPDATE_FAILED", "Endpoint is being updated"),
        finish("UPDATE_ROLLBACK_IN_PROGRESS"),
        finish("UPDATE_ROLLBACK_FAILED"),
    )
    silent(aws)
    code, printed = deploy(capsys)
    assert code == 4
    advice = f"continue-update-rollback --stack-name {STACK}, with --resources-to-skip Endpoint if it fails again"
    assert advice in printed
    aws.answer("cloudformation", "DescribeStacks", story.described("UPDATE_ROLLBACK_FAILED"))
    cli.main([*DEPLOY, "--plan"])  # reads the answer that is left
    code, printed = deploy(capsys)  # it is said again, and nothing is tried
    assert code == 4
    assert advice in printed
    assert aws.count("ExecuteChangeSet") == 1


def test_a_deletion_that_fails_needs_a_person(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(STACK).stack("CREATE_COMPLETE")
    aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_COMPLETE"))
    run_with(aws, config="config-new")
    reason = "resource sg-1 has a dependent object"  # aws-cloudformation/cloudformation-coverage-roadmap, issue 1327
    happen(
        aws,
        story,
        lambda: story.stack("DELETE_IN_PROGRESS", "User Initiated"),
        lambda: story.tell("Role", "AWS::IAM::Role", "DELETE_FAILED", reason),
        lambda: story.stack("DELETE_FAILED", "The following resource(s) failed to delete: [Role]."),
    )
    code, printed = deploy(capsys, DESTROY)
    assert code == 4
    assert f"cause:     Role (AWS::IAM::Role): {reason}" in printed
    assert "may still cost money" in printed
    assert "--deletion-mode FORCE_DELETE_STACK" in printed


def destroy(aws: Scripted) -> None:
    """A stack that is there and is deleted without trouble."""
    story = Story(STACK).stack("CREATE_COMPLETE")
    aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_COMPLETE"))
    run_with(aws, config="config-new")
    steps = ("DELETE_IN_PROGRESS", "User Initiated"), ("DELETE_COMPLETE", "")
    happen(aws, story, *(lambda step=step: story.stack(*step) for step in steps))


@pytest.mark.parametrize("words", [DEPLOY, [*DEPLOY, "--plan"], DESTROY], ids=["deploy", "plan", "destroy"])
def test_a_stack_that_only_has_such_a_name_is_left_alone(
    words: list[str], aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(STACK).stack("CREATE_COMPLETE")
    tags = [{"Key": "pixelserve", "Value": "another"}]
    aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_COMPLETE", Tags=tags))
    code, printed = deploy(capsys, words)
    assert code == 3
    assert "pixelserve-upscaler was not made by pixelserve: it has no tag pixelserve = upscaler." in printed
    assert {name for name, _ in aws.calls} <= {
        "GetCallerIdentity", "BatchGetImage", "ListServiceQuotas", "DescribeStacks",
    }  # fmt: skip


def test_a_plan_that_aws_does_not_answer_says_how_it_goes_without(
    aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    invalid = error("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    aws.replace("sts", "GetCallerIdentity", invalid)
    code, printed = deploy(capsys, [*DEPLOY, "--plan"])
    assert (code, "give --against FILE, or unset the credentials" in printed) == (3, True)
    assert "--against" not in deploy(capsys)[1]


def test_an_execution_that_may_have_begun_is_no_refusal(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    create(aws)
    busy = error("ServiceUnavailable", "Service Unavailable", 503)
    aws.replace("cloudformation", "ExecuteChangeSet", busy)
    code, printed = deploy(capsys)
    assert code == 5
    assert "Service Unavailable" in printed
    assert "AWS may have begun all the same. To see, run `pixelserve deploy upscaler` with the same options." in printed
    denied = error("AccessDenied", "User: me is not authorized to perform: cloudformation:ExecuteChangeSet")
    aws.replace("cloudformation", "ExecuteChangeSet", denied)
    assert deploy(capsys)[0] == 3


def own_bucket(aws: Scripted, *pages: dict[str, Any]) -> Story:
    """A stack with a bucket, whose objects are asked for again and again."""
    story = Story(STACK).stack("CREATE_COMPLETE")
    aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_COMPLETE"))
    run_with(aws, config="config-new")
    resource = {"LogicalResourceId": "Bucket", "ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": "results",
                "LastUpdatedTimestamp": BEGIN, "ResourceStatus": "CREATE_COMPLETE"}  # fmt: skip
    aws.replace("cloudformation", "ListStackResources", {"StackResourceSummaries": [resource]})
    aws.answer("s3", "ListObjectVersions", *pages)
    aws.answer("s3", "DeleteObjects", {})
    aws.answer("logs", "DeleteLogGroup", {})
    return story


ONE = {"Versions": [{"Key": "1.out", "VersionId": "null"}]}


def test_a_bucket_that_is_written_to_while_it_goes_is_emptied_again(
    aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    story = own_bucket(aws, ONE, ONE, ONE, {})
    reason = "The bucket you tried to delete is not empty"
    happen(
        aws,
        story,
        lambda: story.stack("DELETE_IN_PROGRESS", "User Initiated"),
        lambda: story.tell("Bucket", "AWS::S3::Bucket", "DELETE_FAILED", reason),
        lambda: story.stack("DELETE_FAILED", "The following resource(s) failed to delete: [Bucket]."),
        lambda: None,
        lambda: story.stack("DELETE_IN_PROGRESS", "User Initiated"),
        lambda: story.stack("DELETE_COMPLETE"),
    )
    code, printed = deploy(capsys, DESTROY)
    assert code == 0
    assert "1 objects in the bucket results\n" in printed
    assert "emptied its bucket, deleting again." in printed
    assert aws.count("DeleteStack") == aws.count("DeleteObjects") == 2


REFUSED = error("AccessDenied", "User: me is not authorized to perform: cloudformation:DeleteStack")


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (
            REFUSED,
            4,
            "Objects of its buckets may be gone. Allow the call, then run `pixelserve destroy upscaler` again.",
        ),
        (error("Throttling", "Rate exceeded"), 5, "For what is left, run `pixelserve destroy upscaler`."),
        (error("ExpiredToken", "expired", 403), 5, "renew the credentials and run `pixelserve destroy upscaler`."),
    ],
)
def test_after_objects_are_deleted_nothing_is_called_unchanged(
    failure: dict[str, Any], code: int, said: str, aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    own_bucket(aws, ONE)
    aws.answer("cloudformation", "DescribeStackEvents", Story(STACK).stack("CREATE_COMPLETE").so_far())
    aws.replace("cloudformation", "DeleteStack", failure)
    ended, printed = deploy(capsys, DESTROY)
    assert ended == code
    assert said in printed


def test_a_deletion_that_is_refused_before_anything_has_begun(
    aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    destroy(aws)
    aws.replace("cloudformation", "DeleteStack", REFUSED)
    assert deploy(capsys, DESTROY)[0] == 3


def test_objects_that_s3_keeps_are_told(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    """DeleteObjects answers 200 with the errors of single objects (API reference)."""
    own_bucket(aws, ONE)
    kept = {"Key": "1.out", "Code": "AccessDenied", "Message": "Access Denied"}
    aws.replace("s3", "DeleteObjects", {"Errors": [kept]})
    code, printed = deploy(capsys, DESTROY)
    assert code == 4
    assert "DeleteObjects: results/1.out: Access Denied" in printed
    assert not aws.count("DeleteStack")


def test_a_log_group_that_comes_again_is_deleted_again(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    destroy(aws)
    gone = error("ResourceNotFoundException", "The specified log group does not exist.")
    aws.answer("logs", "DeleteLogGroup", {}, gone, {}, gone)  # apache/airflow, pull request 29581
    code, printed = deploy(capsys, DESTROY)
    assert code == 0
    assert f"0.0 MB in the log group {GROUP}\n" in printed
    assert printed.count(f"Removed the log group {GROUP}.") == 1
    assert aws.find("DeleteLogGroup") == 4 * [{"logGroupName": GROUP}]


DENIED = "User: me is not authorized to perform: logs:{} on resource: x"


def test_who_may_not_delete_logs_is_told(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    destroy(aws)
    aws.answer("logs", "DeleteLogGroup", error("AccessDeniedException", DENIED.format("DeleteLogGroup")))
    code, printed = deploy(capsys, DESTROY)
    assert code == 4
    assert "next:      The stack is gone. Allow the call, then run `pixelserve destroy upscaler` again.\n" in printed


def test_who_may_not_look_for_logs_can_remove_the_rest(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    destroy(aws)
    aws.replace("logs", "DescribeLogGroups", error("AccessDeniedException", DENIED.format("DescribeLogGroups")))
    code, printed = deploy(capsys, DESTROY)
    assert code == 0
    assert "Log groups were not looked for, and stay: " in printed
    assert aws.count("DeleteStack") == 1


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (error("Throttling", "Rate exceeded"), "Rate exceeded"),
        (error("ExpiredToken", "The security token included in the request is expired", 403), "Renew the credentials"),
    ],
)
def test_throttling_and_expired_credentials_in_the_middle_leave_aws_to_it(
    failure: dict[str, Any], said: str, aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    story = create(aws)
    aws.answer("cloudformation", "DescribeStackEvents", failure)
    silent(aws)
    code, printed = deploy(capsys)
    assert code == 5
    assert said in printed
    assert "ollow it with `pixelserve deploy upscaler` with the same options." in printed
    assert story.events[-1]["ResourceStatus"] == "CREATE_IN_PROGRESS"


def test_ctrl_c_leaves_aws_to_it_and_the_same_command_goes_on(
    aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    story = create(aws)

    def interrupt() -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return story.so_far()

    aws.answer("cloudformation", "DescribeStackEvents", interrupt)
    silent(aws)
    code, printed = deploy(capsys)
    assert code == 5
    assert "Stopped following." in printed
    assert "Follow it with `pixelserve deploy upscaler` with the same options." in printed

    aws.replace(
        "cloudformation", "DescribeStacks", story.described("CREATE_IN_PROGRESS"), story.described("CREATE_COMPLETE")
    )
    aws.replace("cloudformation", "DescribeStackEvents", story.so_far(), story.stack("CREATE_COMPLETE").so_far())
    aws.replace(
        "cloudformation", "DescribeChangeSet", {"Status": "FAILED", "StatusReason": "No updates are to be performed."}
    )
    run_with(aws, config="config-new")
    code, printed = deploy(capsys)
    assert code == 0
    assert "pixelserve-upscaler is CREATE_IN_PROGRESS; following it." in printed
    assert "CREATE_COMPLETE          pixelserve-upscaler" in printed
    assert "Nothing changes." in printed
    assert aws.count("ExecuteChangeSet") == 1


@pytest.mark.parametrize("is_under_way", [True, False])
def test_the_same_command_that_goes_on_with_a_deployment_does_not_prolong_it(
    is_under_way: bool, aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = Facts(REGION, ACCOUNT, DIGEST, quotas={"ml.g4dn.xlarge": 4}, now=datetime.now(UTC) - timedelta(hours=1))
    standing = build_template(make_spec({"name": NAME, "image": IMAGE, "ttl_hours": 8}), facts)
    aws.replace("cloudformation", "GetTemplate", {"TemplateBody": json.dumps(standing)})
    story = Story(STACK).stack("CREATE_IN_PROGRESS", "User Initiated").stack("CREATE_COMPLETE")
    if is_under_way:
        aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_IN_PROGRESS"))
    aws.answer("cloudformation", "DescribeStacks", story.described("CREATE_COMPLETE"))
    aws.answer("cloudformation", "DescribeStackEvents", story.so_far())
    aws.answer("cloudformation", "CreateChangeSet", {"Id": CHANGE_SET, "StackId": story.id})
    reason = "No updates are to be performed."
    aws.answer("cloudformation", "DescribeChangeSet", {"Status": "FAILED", "StatusReason": reason})
    silent(aws)
    run_with(aws, config="config-new")
    assert deploy(capsys, [*DEPLOY, "--ttl", "8h"])[0] == 0
    (made,) = aws.find("CreateChangeSet")
    assert (json.loads(made["TemplateBody"]) == standing) is is_under_way


def test_ctrl_c_before_anything_has_begun_leaves_nothing(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = create(aws)

    def interrupt() -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return {"Status": "CREATE_PENDING"}

    aws.replace("cloudformation", "DescribeChangeSet", interrupt)
    code, printed = deploy(capsys)
    assert code == 128 + signal.SIGINT
    assert "Stopped." in printed
    assert aws.find("DeleteStack") == [{"StackName": story.id}]


def test_a_template_that_cloudformation_refuses(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = create(aws)
    reason = "The following resource types are not supported in this region: [AWS::Lambda::Url]"
    aws.replace("cloudformation", "DescribeChangeSet", {"Status": "FAILED", "StatusReason": reason})
    found = {
        "StackId": story.id,
        "EventId": "1",
        "Timestamp": BEGIN,
        "LogicalResourceId": "Model",
        "ValidationPath": "/Resources/Model/Properties/PrimaryContainer",
        "ValidationStatus": "FAILED",
        "ValidationStatusReason": "Unsupported property",
    }
    aws.answer("cloudformation", "DescribeEvents", {"OperationEvents": [found]})
    code, printed = deploy(capsys)
    assert code == 3
    assert (
        f"cause:     CloudFormation refuses the template: {reason} "
        "Model /Resources/Model/Properties/PrimaryContainer: Unsupported property" in printed
    )
    assert aws.count("DeleteStack") == 1


def test_a_stack_that_never_ran_is_removed_first(aws: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(STACK).stack("ROLLBACK_COMPLETE")  # serverless/serverless, issue 5630
    aws.answer("cloudformation", "DescribeStacks", story.described("ROLLBACK_COMPLETE"), GONE)
    happen(aws, story, lambda: story.stack("DELETE_IN_PROGRESS", "User Initiated").stack("DELETE_COMPLETE"))
    happen(aws, story)
    propose(aws, story)
    happen(aws, story, lambda: story.stack("CREATE_IN_PROGRESS", "User Initiated").stack("CREATE_COMPLETE"))
    silent(aws)
    run_with(aws, config="config-new")
    code, printed = deploy(capsys)
    assert code == 0
    assert "is ROLLBACK_COMPLETE: it never ran, and is removed first." in printed
    assert [made["ChangeSetType"] for made in aws.find("CreateChangeSet")] == ["CREATE"]


def test_another_instance_type_of_an_endpoint_that_scales_goes_in_two_change_sets(
    aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec({"name": NAME, "image": IMAGE, "most": 2})
    standing = build_template(spec, Facts(region=REGION, digest=DIGEST))
    aws.replace("cloudformation", "GetTemplate", {"TemplateBody": json.dumps(standing)})
    story = update(aws, finish("UPDATE_COMPLETE"))
    happen(aws, story)  # the last look at the first change set
    happen(
        aws, story, lambda: story.stack("UPDATE_IN_PROGRESS", "User Initiated"), lambda: story.stack("UPDATE_COMPLETE")
    )
    silent(aws)
    run_with(aws, config="config-new")
    code, printed = deploy(capsys, [*DEPLOY, "--instances", "ml.g5.xlarge", "--most", "2"])
    assert code == 0
    assert "In two change sets: SageMaker does not change the instance type of an endpoint that scales" in printed
    assert "+/- EndpointConfig  SageMaker::EndpointConfig: ProductionVariants\n" in printed
    first, second = [json.loads(made["TemplateBody"])["Resources"] for made in aws.find("CreateChangeSet")]
    assert set(standing["Resources"]) - set(first) == {"ScalableTarget", "ScalingPolicy"}
    assert first["EndpointConfig"] == standing["Resources"]["EndpointConfig"]
    assert {"ScalableTarget", "ScalingPolicy"} <= set(second)
    assert "ml.g5.xlarge" in json.dumps(second["EndpointConfig"])
    assert aws.count("ExecuteChangeSet") == 2


def test_credentials_that_expire_between_two_change_sets_are_told_apart_from_a_refusal(
    aws: Scripted, capsys: pytest.CaptureFixture[str]
) -> None:
    standing = build_template(make_spec({"name": NAME, "image": IMAGE, "most": 2}), Facts(region=REGION))
    aws.replace("cloudformation", "GetTemplate", {"TemplateBody": json.dumps(standing)})
    update(aws, finish("UPDATE_COMPLETE"))
    silent(aws)
    expired = error("ExpiredToken", "The security token included in the request is expired", 403)
    aws.answer("cloudformation", "CreateChangeSet", expired)
    code, printed = deploy(capsys, [*DEPLOY, "--instances", "ml.g5.xlarge", "--most", "2"])
    assert code == 5
    assert "The endpoint has no scaling until you run `pixelserve deploy upscaler` with the same options." in printed
