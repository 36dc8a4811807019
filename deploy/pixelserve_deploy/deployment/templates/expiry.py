"""An endpoint's end: a schedule that deletes its stack once, and the role with which it does.

CloudFormation knows no ActionAfterCompletion; the schedule goes with the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.deployment.templates.resource import (
    ROLE_LETTERS,
    SCHEDULE_LETTERS,
    TAG,
    Resource,
    arn,
    attribute,
    begin_name,
    ref,
    sub,
    untagged,
)
from pixelserve_deploy.deployment.templates.roles import SCHEDULER, Statement, allow, build_role

SCHEDULE, ROLE = "ExpirySchedule", "ExpiryRole"
DELETE_STACK = "scheduler:::aws-sdk:cloudformation:deleteStack"
"""EventBridge Scheduler's universal target (user guide)."""
AT = "at(%Y-%m-%dT%H:%M:%S)"


def add_expiry(spec: EndpointSpec, facts: Facts, resources: dict[str, Resource]) -> dict[str, Resource]:
    """The resources with the schedule, if the spec has hours to live.

    CloudFormation deletes with the role's own permissions, so everything else depends on the role: it goes last.
    """
    if spec.ttl_hours is None:
        return resources
    if spec.ttl_role:
        return {**resources, SCHEDULE: _build_schedule(spec, facts)}
    later = {name: {**resource, "DependsOn": [ROLE]} for name, resource in resources.items()}
    role = build_role(spec, SCHEDULER, _permissions(spec))
    return {ROLE: role, **later, SCHEDULE: _build_schedule(spec, facts)}


def find_end(template: Mapping[str, Any]) -> datetime | None:
    """When a template's schedule deletes its stack; None without one."""
    schedule = template["Resources"].get(SCHEDULE)
    if schedule is None:
        return None
    return datetime.strptime(schedule["Properties"]["ScheduleExpression"], AT).replace(tzinfo=UTC)


def keep_end(old: Mapping[str, Any], new: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The new template; with the old one's end where that is still to come and nothing else changes."""
    end = find_end(old)
    if end is None or end <= now or SCHEDULE not in new["Resources"]:
        return new
    kept = {**new, "Resources": {**new["Resources"], SCHEDULE: old["Resources"][SCHEDULE]}}
    return kept if kept == old else new


def _build_schedule(spec: EndpointSpec, facts: Facts) -> Resource:
    end = facts.now.astimezone(UTC) + timedelta(hours=spec.ttl_hours or 0)
    properties = {
        "Description": f"Deletes the stack of {spec.name}",
        "ScheduleExpression": f"{end:{AT}}",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": arn(DELETE_STACK),
            "RoleArn": spec.ttl_role or attribute(ROLE, "Arn"),
            "Input": sub('{"StackName":"${AWS::StackName}"}'),
        },
    }
    return untagged("AWS::Scheduler::Schedule", properties)


def _permissions(spec: EndpointSpec) -> list[Statement]:
    """What deleting the resources takes, as the handlers in CloudFormation's schemas say, of this stack alone.

    CloudFormation asks for the endpoint until it is not found. It has no tags any more then, so it goes by its name.
    """
    place = "${AWS::Region}:${AWS::AccountId}"
    ours = {"StringEquals": {f"aws:ResourceTag/{TAG}": spec.name}}
    scaling = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    return [
        allow(["cloudformation:DeleteStack"], ref("AWS::StackId")),
        allow(["sagemaker:DeleteEndpoint", "sagemaker:DescribeEndpoint"],
              arn(f"sagemaker:{place}:endpoint/{spec.name}")),
        allow(["sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel"], "*", **ours),
        allow(["application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget"], "*",
              **scaling),
        allow(["application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies",
               "cloudwatch:DescribeAlarms", "ec2:DescribeNetworkInterfaces"], "*"),
        allow(["cloudwatch:DeleteAlarms"], arn(f"cloudwatch:{place}:alarm:{spec.stack}-*")),
        allow(["lambda:DeleteFunction", "lambda:DeleteFunctionUrlConfig", "lambda:GetFunction"],
              arn(f"lambda:{place}:function:{spec.name}")),
        allow(["iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:GetRole",
               "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:TagRole", "iam:UntagRole"],
              arn(f"iam::${{AWS::AccountId}}:role/{begin_name(spec.stack, ROLE, ROLE_LETTERS)}")),
        allow(["sns:DeleteTopic", "sns:GetTopicAttributes"], arn(f"sns:{place}:{spec.stack}-*")),
        allow(["scheduler:DeleteSchedule", "scheduler:GetSchedule"],
              arn(f"scheduler:{place}:schedule/default/{begin_name(spec.stack, SCHEDULE, SCHEDULE_LETTERS)}")),
    ]  # fmt: skip
