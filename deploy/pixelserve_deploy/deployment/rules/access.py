"""Rules for roles, partitions, tags, and what a stack must not hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pixelserve_deploy.deployment.resolver import CREATE_ONLY, refers
from pixelserve_deploy.deployment.rules.rule import Rule, View

Found = Iterator[tuple[str, str]]
ROLE = "AWS::IAM::Role"
SERVICES = {
    "AWS::SageMaker::Model": "sagemaker.amazonaws.com",
    "AWS::Lambda::Function": "lambda.amazonaws.com",
    "AWS::Scheduler::Schedule": "scheduler.amazonaws.com",
}
"""Who takes on the role that a resource names."""
UNTAGGABLE = frozenset(
    {
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGateway::Method",
        "AWS::ApiGateway::Resource",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Url",
        "AWS::SNS::Subscription",
        "AWS::SQS::QueuePolicy",
        "AWS::Scheduler::Schedule",
    }
)
ELSEWHERE = {
    "AWS::Logs::LogGroup": "A roll-back deletes it with the container's last words. Make it before the stack.",
    "AWS::EC2::SecurityGroup": "Network interfaces outlive the endpoint, so it cannot be deleted. Name one of yours.",
    "AWS::IAM::Policy": "The model may be made before it. Write Policies in the role.",
}
"""Types that no stack of an endpoint may have."""
_ARN = re.compile(r"arn:(aws[\w-]*):")


def trust(view: View) -> Found:
    for kind, service in SERVICES.items():
        for _, properties in view.of(kind):
            for name, role in view.of(ROLE):
                if name in refers(properties) and service not in _list_principals(role):
                    yield name, f"{kind} runs with it. Write {service} as Principal of AssumeRolePolicyDocument."


def _list_principals(role: dict[str, Any]) -> list[Any]:
    return [statement["Principal"].get("Service") for statement in role["AssumeRolePolicyDocument"]["Statement"]]


def partition(view: View) -> Found:
    for name, resource in view.resources.items():
        wrong = set(_ARN.findall(json.dumps(resource))) - {view.facts.partition}
        if wrong:
            yield name, f"It names an ARN of {wrong.pop()}; {view.facts.region} is in {view.facts.partition}. " \
                        "Write arn:${AWS::Partition}."  # fmt: skip


def describe_alarms(view: View) -> Found:
    models = [properties for _, properties in view.of("AWS::SageMaker::Model")]
    watched = any("DeploymentConfig" in properties for _, properties in view.of("AWS::SageMaker::Endpoint"))
    for name, role in view.of(ROLE):
        is_used = watched and any(name in refers(properties) for properties in models)
        if is_used and "cloudwatch:DescribeAlarms" not in json.dumps(role):
            yield name, "Auto-rollback looks at the alarms with this role. Allow cloudwatch:DescribeAlarms."


def tags(view: View) -> Found:
    for name, resource in view.resources.items():
        if resource["Type"] in CREATE_ONLY.keys() - UNTAGGABLE and not resource["Properties"].get("Tags"):
            yield name, "Tags of the stack do not reach every resource. Write Tags."


def elsewhere(view: View) -> Found:
    for name, resource in view.resources.items():
        if resource["Type"] in ELSEWHERE:
            yield name, ELSEWHERE[resource["Type"]]


RULES: tuple[Rule, ...] = (trust, partition, describe_alarms, tags, elsewhere)
