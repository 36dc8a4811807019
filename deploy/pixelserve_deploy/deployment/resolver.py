"""What an update would do, worked out without AWS: properties that only a creation can set, and who refers to what.

A new image replaces Model and EndpointConfig, and the Endpoint is modified. That this is what CloudFormation does is
its documentation's word; stack updates have not been seen on AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pixelserve_deploy.deployment.templates import Template

CREATE_ONLY: dict[str, set[str]] = {
    "AWS::ApiGateway::Deployment": {"DeploymentCanarySettings", "RestApiId"},
    "AWS::ApiGateway::Method": {"HttpMethod", "ResourceId", "RestApiId"},
    "AWS::ApiGateway::Resource": {"ParentId", "PathPart", "RestApiId"},
    "AWS::ApiGateway::RestApi": set(),
    "AWS::ApiGateway::Stage": {"RestApiId", "StageName"},
    "AWS::ApplicationAutoScaling::ScalableTarget": {"ResourceId", "ScalableDimension", "ServiceNamespace"},
    "AWS::ApplicationAutoScaling::ScalingPolicy": {
        "PolicyName",
        "ResourceId",
        "ScalableDimension",
        "ScalingTargetId",
        "ServiceNamespace",
    },
    "AWS::CloudWatch::Alarm": {"AlarmName"},
    "AWS::DynamoDB::Table": {"ImportSourceSpecification", "TableName"},
    "AWS::Events::Rule": {"Name"},
    "AWS::IAM::Role": {"Path", "RoleName"},
    "AWS::Lambda::EventSourceMapping": {
        "EventSourceArn",
        "SelfManagedEventSource",
        "StartingPosition",
        "StartingPositionTimestamp",
    },
    "AWS::Lambda::Function": {"FunctionName", "PackageType", "TenancyConfig"},
    "AWS::Lambda::Permission": {
        "Action",
        "EventSourceToken",
        "FunctionName",
        "FunctionUrlAuthType",
        "InvokedViaFunctionUrl",
        "Principal",
        "PrincipalOrgID",
        "SourceAccount",
        "SourceArn",
    },
    "AWS::Lambda::Url": {"Qualifier", "TargetFunctionArn"},
    "AWS::S3::Bucket": {"BucketName", "BucketNamePrefix", "BucketNamespace"},
    "AWS::SNS::Subscription": {"Endpoint", "Protocol", "TopicArn"},
    "AWS::SNS::Topic": {"FifoTopic", "TopicName"},
    "AWS::SQS::Queue": {"FifoQueue", "QueueName"},
    "AWS::SQS::QueuePolicy": set(),
    "AWS::SageMaker::Endpoint": {"EndpointName"},
    "AWS::SageMaker::EndpointConfig": {
        "AsyncInferenceConfig",
        "DataCaptureConfig",
        "EnableNetworkIsolation",
        "EndpointConfigName",
        "ExecutionRoleArn",
        "ExplainerConfig",
        "KmsKeyId",
        "MetricsConfig",
        "ProductionVariants",
        "ShadowProductionVariants",
        "VpcConfig",
    },
    "AWS::SageMaker::Model": {
        "Containers",
        "EnableNetworkIsolation",
        "ExecutionRoleArn",
        "InferenceExecutionConfig",
        "ModelName",
        "PrimaryContainer",
        "VpcConfig",
    },
    "AWS::Scheduler::Schedule": {"Name"},
}
"""Of the types that we make, the properties that only a creation sets (`createOnlyProperties` of their schemas)."""
_IN_TEXT = re.compile(r"\$\{([A-Za-z0-9]+)")


class Action(StrEnum):
    """What happens to a resource."""

    ADD = "add"
    MODIFY = "modify"
    REPLACE = "replace"
    REMOVE = "remove"


@dataclass(frozen=True)
class Change:
    """Of one resource; `because` names properties, and resources whose replacement it follows."""

    resource: str
    kind: str
    action: Action
    because: tuple[str, ...] = ()


def resolve(old: Template, new: Template) -> list[Change]:
    """The changes in the order of the new template, removals last; none where nothing changes."""
    before, after = old.get("Resources", {}), new["Resources"]
    added = [Change(name, one["Type"], Action.ADD) for name, one in after.items() if name not in before]
    kept = {name: _differ(before[name], one) for name, one in after.items() if name in before}
    replaced = _follow(after, kept)
    changed = [
        Change(name, after[name]["Type"], Action.REPLACE if name in replaced else Action.MODIFY, tuple(reasons))
        for name, reasons in kept.items()
        if reasons
    ]
    removed = [Change(name, one["Type"], Action.REMOVE) for name, one in before.items() if name not in after]
    order = {name: place for place, name in enumerate(after)}
    return [*sorted([*added, *changed], key=lambda change: order[change.resource]), *removed]


def _differ(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Names of properties that differ, and `Type`."""
    if old["Type"] != new["Type"]:
        return ["Type"]
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]


def _follow(resources: dict[str, Any], kept: dict[str, list[str]]) -> set[str]:
    """Names of the resources that are replaced; adds to `kept` what follows from a replacement elsewhere."""
    replaced: set[str] = set()
    waiting = [name for name, reasons in kept.items() if _replaces(resources[name], reasons)]
    while waiting:
        name = waiting.pop()
        if name in replaced:
            continue
        replaced.add(name)
        for other, reasons in kept.items():
            following = [key for key, value in resources[other].get("Properties", {}).items() if name in refers(value)]
            if following:
                reasons += [f"{key}: {name} is replaced" for key in following]
                waiting += [other] if _replaces(resources[other], following) else []
    return replaced


def _replaces(resource: dict[str, Any], names: list[str]) -> bool:
    return "Type" in names or not CREATE_ONLY[resource["Type"]].isdisjoint(names)


def refers(value: Any) -> set[str]:
    """Logical ids that a value refers to by Ref, Fn::GetAtt or Fn::Sub."""
    return set(_walk(value))


def _walk(value: Any) -> Iterator[str]:
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::GetAtt": str(path)}:
            yield path.partition(".")[0]
        case {"Fn::Sub": str(text)}:
            yield from _IN_TEXT.findall(text)
        case dict():
            for part in value.values():
                yield from _walk(part)
        case list():
            for part in value:
                yield from _walk(part)
