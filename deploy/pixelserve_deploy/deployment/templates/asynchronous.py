"""What an asynchronous endpoint has besides: a bucket, topics, and the way from zero instances and back.

Metrics and policies as the developer guide has them, `Autoscale an asynchronous endpoint`.
"""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.templates.alarms import build_alarm, name_endpoint
from pixelserve_deploy.deployment.templates.resource import (
    Owner,
    Resource,
    attribute,
    ref,
    s3_arn,
    split_s3,
    sub,
    tagged,
)
from pixelserve_deploy.deployment.templates.roles import Statement, allow
from pixelserve_deploy.deployment.templates.scaling import POLICY, TARGET, build_policy, build_target, build_tracking

BUCKET, SUCCESS, ERROR = "Bucket", "SuccessTopic", "ErrorTopic"
WAKE_POLICY, WAKE_ALARM = "WakePolicy", "WakeAlarm"
WAKE_SECONDS = 300
"""Between two steps from zero: an instance takes so long to start."""
RESULT_DAYS = 7
"""After which the stack's own bucket forgets requests and results."""


def build_asynchronous(spec: EndpointSpec) -> dict[str, Resource]:
    """Bucket and topics; nothing for other modes."""
    if spec.mode is not Mode.ASYNC:
        return {}
    key = {"KmsMasterKeyId": spec.kms_key} if spec.kms_key else {}
    topics = {topic: tagged(spec, "AWS::SNS::Topic", key) for topic in (SUCCESS, ERROR)}
    return topics if spec.output else {BUCKET: build_bucket(spec, spec.kms_key), **topics}


def build_async_config(spec: EndpointSpec) -> dict[str, Any]:
    """AsyncInferenceConfig."""
    output: dict[str, Any] = {
        "S3OutputPath": locate(spec, "results/"),
        "S3FailurePath": locate(spec, "failures/"),
        "NotificationConfig": {"SuccessTopic": ref(SUCCESS), "ErrorTopic": ref(ERROR)},
    }
    if spec.kms_key:
        output["KmsKeyId"] = spec.kms_key
    client = {"MaxConcurrentInvocationsPerInstance": spec.calls_at_once}
    return {"OutputConfig": output, "ClientConfig": client}


def locate(spec: EndpointSpec, part: str) -> Any:
    """The `s3://` URI of a part of the endpoint's place: `requests/`, `results/`, `failures/`."""
    return f"{spec.output}{part}" if spec.output else sub(f"s3://${{{BUCKET}}}/{part}")


def _name_place(spec: EndpointSpec) -> tuple[Any, Any]:
    """ARNs of the bucket and of the objects there."""
    if not spec.output:
        return attribute(BUCKET, "Arn"), sub(f"${{{BUCKET}.Arn}}/*")
    return s3_arn(split_s3(spec.output)[0]), s3_arn(f"{spec.output}*")


def allow_asynchronous(spec: EndpointSpec) -> list[Statement]:
    """What the execution role must do besides; nothing for other modes."""
    if spec.mode is not Mode.ASYNC:
        return []
    bucket, objects = _name_place(spec)
    return [
        allow(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"], objects),
        allow(["s3:ListBucket"], bucket),
        allow(["sns:Publish"], [ref(SUCCESS), ref(ERROR)]),
    ]


def build_bucket(owner: Owner, kms_key: str = "", **more: Any) -> Resource:
    """A bucket for requests and results, which it forgets after a while; nothing in it is public."""
    encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key}
    rule = {"ServerSideEncryptionByDefault": encryption if kms_key else {"SSEAlgorithm": "AES256"}}
    public = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    forget = {
        "Id": "forget",
        "Status": "Enabled",
        "ExpirationInDays": RESULT_DAYS,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    properties = {
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]},
        "PublicAccessBlockConfiguration": dict.fromkeys(public, True),
        "LifecycleConfiguration": {"Rules": [forget]},
        **more,
    }
    return tagged(owner, "AWS::S3::Bucket", properties, DeletionPolicy="Delete", UpdateReplacePolicy="Delete")


def build_async_scaling(spec: EndpointSpec) -> dict[str, Resource]:
    """Target tracking on the backlog of an instance, and the step from zero, where no instance has a backlog."""
    if not spec.scales:
        return {}
    metric = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": name_endpoint(spec),
        "Statistic": "Average",
    }
    scaling = {TARGET: build_target(spec), POLICY: build_tracking(spec, {"CustomizedMetricSpecification": metric})}
    return scaling if spec.least else {**scaling, **_build_wake_up(spec)}


def _build_wake_up(spec: EndpointSpec) -> dict[str, Resource]:
    step = {
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Average",
        "Cooldown": WAKE_SECONDS,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    alarm = build_alarm(
        spec,
        "Requests wait, and no instance is there.",
        MetricName="HasBacklogWithoutCapacity",
        Statistic="Average",
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        EvaluationPeriods=1,
        Dimensions=name_endpoint(spec),
        AlarmActions=[ref(WAKE_POLICY)],
    )
    return {
        WAKE_POLICY: build_policy("wake", "StepScaling", StepScalingPolicyConfiguration=step),
        WAKE_ALARM: alarm,
    }
