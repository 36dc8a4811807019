"""Deploy, look, change and destroy against moto's CloudFormation: what is there afterwards, and what is not.

moto shows end states only: no events of resources, no failures, no order. `test_deploy_endings` has those.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloud import ACCOUNT, name_image

from pixelserve_deploy import cli

NAME = "upscaler"
GROUP = f"/aws/sagemaker/Endpoints/{NAME}"
SEEN: dict[str, Callable[[Any], list[Any]]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": lambda aws: list_scaling(aws, "describe_scalable_targets"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": lambda aws: list_scaling(aws, "describe_scaling_policies"),
    "AWS::CloudWatch::Alarm": lambda aws: aws("cloudwatch").describe_alarms()["MetricAlarms"],
    "AWS::IAM::Role": lambda aws: aws("iam").list_roles()["Roles"],
    "AWS::Lambda::Function": lambda aws: aws("lambda").list_functions()["Functions"],
    "AWS::Lambda::Url": lambda aws: list_urls(aws("lambda")),
    "AWS::S3::Bucket": lambda aws: aws("s3").list_buckets()["Buckets"],
    "AWS::SNS::Topic": lambda aws: aws("sns").list_topics()["Topics"],
    "AWS::SageMaker::Endpoint": lambda aws: aws("sagemaker").list_endpoints()["Endpoints"],
    "AWS::SageMaker::EndpointConfig": lambda aws: aws("sagemaker").list_endpoint_configs()["EndpointConfigs"],
    "AWS::SageMaker::Model": lambda aws: aws("sagemaker").list_models()["Models"],
    "AWS::Scheduler::Schedule": lambda aws: aws("scheduler").list_schedules()["Schedules"],
}  # fmt: skip
"""How each type of resource is seen without CloudFormation."""
MODES = {
    "realtime": ["--most", "3", "--ttl", "8h"],
    "async": ["--mode", "async", "--instances", "ml.g4dn.2xlarge", "--most", "2"],
    "serverless": ["--mode", "serverless", "--memory-mb", "3072"],
    "lambda": ["--mode", "lambda", "--memory-mb", "3008"],
}


def list_scaling(aws: Any, operation: str) -> list[Any]:
    """What an operation lists for SageMaker, under its answer's only key besides the metadata."""
    answer = getattr(aws("application-autoscaling"), operation)(ServiceNamespace="sagemaker")
    return next(found for found in answer.values() if isinstance(found, list))


def list_urls(client: Any) -> list[Any]:
    """The URLs of functions; a function without one has none to get."""
    found = []
    for function in client.list_functions()["Functions"]:
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            found.append(client.get_function_url_config(FunctionName=function["FunctionName"]))
    return found


def deploy(region: str, *options: str, tag: str = "1") -> int:
    return cli.main(["deploy", NAME, "--image", name_image(region, tag), "--yes", "--poll", "0.01", *options])


def count_all(aws: Callable[[str], Any]) -> dict[str, int]:
    return {kind: count for kind, look in SEEN.items() if (count := len(look(aws)))}


@pytest.mark.parametrize("region", ["us-east-2", "cn-northwest-1"], indirect=True)
@pytest.mark.parametrize("mode", MODES)
def test_everything_that_is_made_is_seen_and_then_gone(
    mode: str, aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region, *MODES[mode]) == 0
    address = "by the Invoke call" if region.startswith("cn-") else "at https://"
    function = f"{NAME} is there. Call it {address}"
    how = " --way async -o FOLDER" if mode == "async" else ""
    call = f"{NAME} is in service. Call it: pixelserve invoke {NAME} PHOTO --aws --region {region}{how}\n"
    assert (function if mode == "lambda" else call) in capsys.readouterr().out
    resources = aws("cloudformation").list_stack_resources(StackName=f"pixelserve-{NAME}")["StackResourceSummaries"]
    made: dict[str, int] = {}
    for resource in resources:
        made[resource["ResourceType"]] = made.get(resource["ResourceType"], 0) + 1
    assert len(made) > 1
    assert count_all(aws) == made
    assert read_groups(aws) == {f"/aws/lambda/{NAME}" if mode == "lambda" else GROUP: 30}
    if mode != "lambda":
        assert aws("sagemaker").describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService"
    assert cli.main(["destroy", NAME, "--yes", "--poll", "0.01"]) == 0
    assert count_all(aws) == {}
    assert read_groups(aws) == {}
    with pytest.raises(aws("cloudformation").exceptions.ClientError, match="does not exist"):
        aws("cloudformation").describe_stacks(StackName=f"pixelserve-{NAME}")


def test_buckets_are_emptied_and_counted(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region, *MODES["async"]) == 0
    s3 = aws("s3")
    (bucket,) = [found["Name"] for found in s3.list_buckets()["Buckets"]]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("results/1.out", "results/1.out", "requests/2"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="requests/2")
    capsys.readouterr()
    assert cli.main(["destroy", NAME, "--dry-run"]) == 0
    assert f"4 objects in the bucket {bucket}\n" in capsys.readouterr().out
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 3
    assert cli.main(["destroy", NAME, "--yes", "--poll", "0.01"]) == 0
    assert count_all(aws) == {}


def test_pairs_of_earlier_updates_go_after_an_update_and_with_the_endpoint(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region) == 0
    _leave_pair(aws, "Left")
    others = {"ModelName": "theirs", "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/r", "PrimaryContainer": {}}
    aws("sagemaker").create_model(**others, Tags=[{"Key": "pixelserve", "Value": "another"}])
    assert deploy(region) == 0
    assert "Nothing changes." in capsys.readouterr().out
    assert count_all(aws)["AWS::SageMaker::Model"] == 2
    _leave_pair(aws, "Late")
    assert cli.main(["destroy", NAME, "--yes", "--poll", "0.01"]) == 0
    assert count_all(aws) == {"AWS::SageMaker::Model": 1}


def _leave_pair(aws: Callable[[str], Any], name: str) -> None:
    """A model and a configuration as UpdateReplacePolicy Retain leaves them."""
    tags = [{"Key": "pixelserve", "Value": NAME}]
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    aws("sagemaker").create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={}, Tags=tags)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    aws("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], Tags=tags)


def test_logs_can_stay_and_be_removed_later_and_anothers_are_left_alone(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = f"/aws/lambda/{NAME}"
    aws("logs").create_log_group(logGroupName=theirs)
    assert deploy(region, "--tags", "team=pictures") == 0
    assert read_groups(aws) == {GROUP: 30, theirs: None}
    (group,) = aws("logs").describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert aws("logs").list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {
        "team": "pictures", "pixelserve": NAME, "pixelserve:mode": "realtime",
    }  # fmt: skip
    capsys.readouterr()
    assert cli.main(["destroy", NAME, "--keep-logs", "--yes", "--poll", "0.01"]) == 0
    printed = capsys.readouterr()
    assert f"0.0 MB in the log group {GROUP}, which stays\n" in printed.out
    assert f"{GROUP} stays; its lines are gone after 30 days." in printed.err
    assert count_all(aws) == {}
    assert read_groups(aws) == {GROUP: 30, theirs: None}
    assert cli.main(["destroy", NAME, "--yes", "--poll", "0.01"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"0.0 MB in the log group {GROUP}\n")
    assert f"Removed the log group {GROUP}." in printed.err
    assert read_groups(aws) == {theirs: None}


def test_hours_to_live_count_from_the_last_change_or_from_now(
    aws: Callable[[str], Any], region: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pixelserve.toml").write_text(f"[endpoints.{NAME}]\nimage = '{name_image(region)}'\nttl_hours = 8\n")

    def run(*options: str) -> tuple[str, str]:
        """When it ends afterwards, and what was printed."""
        assert cli.main(["deploy", "--yes", "--poll", "0.01", *options]) == 0
        (found,) = aws("scheduler").list_schedules()["Schedules"]
        return aws("scheduler").get_schedule(Name=found["Name"])["ScheduleExpression"], capsys.readouterr().out

    first, printed = run()
    assert f"AWS deletes the endpoint at {first[14:19]} UTC on {first[3:13]}.\n" in printed
    time.sleep(1.1)  # schedules have whole seconds
    again, printed = run()
    assert "Nothing changes." in printed
    assert again == first
    longer, printed = run("--ttl", "8h")
    assert "ExpirySchedule" in printed
    assert longer > first
    time.sleep(1.1)
    changed, _ = run("--image", name_image(region, "2"))
    assert changed > longer
    assert run("--ttl", "9h")[0] > changed


def read_groups(aws: Callable[[str], Any]) -> dict[str, int | None]:
    """Days that the lines of each log group are kept."""
    groups = aws("logs").describe_log_groups()["logGroups"]
    return {group["logGroupName"]: group.get("retentionInDays") for group in groups}


def test_another_mode_takes_another_name(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(region) == 0
    assert deploy(region, *MODES["serverless"]) == 3
    assert "cannot become serverless in place" in capsys.readouterr().err
    assert count_all(aws)["AWS::SageMaker::EndpointConfig"] == 1


def test_nothing_is_done_without_an_answer(
    aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["deploy", NAME, "--image", name_image(region), "--poll", "0.01"]
    assert cli.main(words) == 3
    assert "Nobody is there to answer: give --yes" in capsys.readouterr().err
    assert aws("cloudformation").describe_stacks()["Stacks"] == []
    assert deploy(region) == 0
    assert cli.main(["destroy", NAME]) == 3
    assert aws("sagemaker").describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService"


def test_json_is_one_object_a_line(aws: Callable[[str], Any], region: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy(region, "--json") == 0
    *steps, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert [step["status"] for step in steps] == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
    assert (end["name"], end["status"], end["cause"], end["next"]) == (NAME, "done", None, None)
    assert {"name": "Endpoint", "type": "AWS::SageMaker::Endpoint", "action": "add", "because": []} in end["changes"]
    assert end["cost_before"] is None
    assert end["cost_after"]["hour_at_rest"] == "0.7364"


def test_an_endpoint_that_is_not_there_is_no_failure(
    aws: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["destroy", NAME, "--yes"]) == 0
    assert capsys.readouterr().out == (
        "There is nothing of upscaler in us-east-2: pixelserve-upscaler is no stack there. "
        "`pixelserve ls` lists what is.\n"
    )
    assert cli.main(["logs", NAME]) == 1
    assert "There is no log group /aws/sagemaker/Endpoints/upscaler or /aws/lambda/upscaler" in capsys.readouterr().err
    assert cli.main(["ls", "--cost"]) == 0
    assert capsys.readouterr().out == "There are no endpoints in us-east-2.\n"
    assert cli.main(["sweep"]) == 0
