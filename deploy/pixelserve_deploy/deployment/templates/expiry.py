"""An endpoint's end: a schedule that deletes its stack once, and the role with which it does.

CloudFormation knows no ActionAfterCompletion; the schedule goes with the stack.
"""

from __future__ import annotations

from datetime import UTC, timedelta

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.deployment.templates.resource import Resource, arn, attribute, ref, sub, untagged
from pixelserve_deploy.deployment.templates.roles import SCHEDULER, Statement, allow, build_role

SCHEDULE, ROLE = "ExpirySchedule", "ExpiryRole"
DELETE_STACK = "scheduler:::aws-sdk:cloudformation:deleteStack"
"""EventBridge Scheduler's universal target (user guide)."""


def add_expiry(spec: EndpointSpec, facts: Facts, resources: dict[str, Resource]) -> dict[str, Resource]:
    """The resources with the schedule, if the spec has hours to live.

    CloudFormation deletes with the role's own permissions, so everything else depends on the role: it goes last.
    """
    if spec.ttl_hours is None:
        return resources
    if spec.ttl_role:
        return {**resources, SCHEDULE: _build_schedule(spec, facts)}
    later = {name: {**resource, "DependsOn": [ROLE]} for name, resource in resources.items()}
    role = build_role(spec, SCHEDULER, _permissions())
    return {ROLE: role, **later, SCHEDULE: _build_schedule(spec, facts)}


def _build_schedule(spec: EndpointSpec, facts: Facts) -> Resource:
    end = facts.now.astimezone(UTC) + timedelta(hours=spec.ttl_hours or 0)
    properties = {
        "Description": f"Deletes the stack of {spec.name}",
        "ScheduleExpression": f"at({end:%Y-%m-%dT%H:%M:%S})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": arn(DELETE_STACK),
            "RoleArn": spec.ttl_role or attribute(ROLE, "Arn"),
            "Input": sub('{"StackName":"${AWS::StackName}"}'),
        },
    }
    return untagged("AWS::Scheduler::Schedule", properties)


def _permissions() -> list[Statement]:
    """What deleting the resources takes, as the handlers in CloudFormation's schemas say; names begin with the stack's.

    SageMaker's, CloudWatch's and Lambda's are bound by their account and region, which a role cannot leave.
    """
    place = "${AWS::Region}:${AWS::AccountId}"
    endpoint = ["DeleteEndpoint", "DescribeEndpoint", "DeleteEndpointConfig", "DescribeEndpointConfig"]
    function = ["DeleteFunction", "GetFunction", "DeleteFunctionUrlConfig", "GetFunctionUrlConfig"]
    scaling = ["DeregisterScalableTarget", "DeleteScalingPolicy", "DescribeScalableTargets", "DescribeScalingPolicies"]
    role = ["DeleteRole", "DeleteRolePolicy", "DetachRolePolicy", "GetRole", "ListAttachedRolePolicies",
            "ListRolePolicies"]  # fmt: skip
    return [
        allow(["cloudformation:DeleteStack"], ref("AWS::StackId")),
        allow([f"sagemaker:{action}" for action in (*endpoint, "DeleteModel", "DescribeModel")], "*"),
        allow([f"application-autoscaling:{action}" for action in scaling], "*"),
        allow(["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms"], "*"),
        allow([f"lambda:{action}" for action in function], "*"),
        allow([f"iam:{action}" for action in role], arn("iam::${AWS::AccountId}:role/${AWS::StackName}-*")),
        allow(["sns:DeleteTopic", "sns:GetTopicAttributes"], arn(f"sns:{place}:${{AWS::StackName}}-*")),
        allow(["scheduler:DeleteSchedule", "scheduler:GetSchedule"], arn(f"scheduler:{place}:schedule/default/*")),
    ]
