"""Rules for scalable targets and their policies."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pixelserve_deploy.deployment.resolver import refers
from pixelserve_deploy.deployment.rules.rule import Rule, View
from pixelserve_deploy.deployment.spec import VARIANT

Found = Iterator[tuple[str, str]]
TARGET, POLICY = "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"
CONFIGURATIONS = {
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "StepScaling": "StepScalingPolicyConfiguration",
}


def least_capacity(view: View) -> Found:
    for name, properties in view.of(TARGET):
        if properties["MinCapacity"] < 1 and not view.is_asynchronous(properties["ResourceId"]):
            yield name, "A real-time endpoint keeps one instance. Write MinCapacity 1, or make it asynchronous."


def capacities(view: View) -> Found:
    for name, properties in view.of(TARGET):
        least, most = properties["MinCapacity"], properties["MaxCapacity"]
        if least > most:
            yield name, f"MinCapacity {least} is more than MaxCapacity {most}. Write them the other way round."


def target_after_endpoint(view: View) -> Found:
    endpoints = {name for name, _ in view.of("AWS::SageMaker::Endpoint")}
    for name, properties in view.of(TARGET):
        if not endpoints & refers(properties["ResourceId"]):
            yield name, "It may be made before the endpoint. Write ResourceId with ${Endpoint.EndpointName}."


def policy_after_target(view: View) -> Found:
    targets = {name for name, _ in view.of(TARGET)}
    for name, properties in view.of(POLICY):
        if not targets & refers(properties.get("ScalingTargetId")):
            yield name, "It may be made before the target. Write ScalingTargetId as a Ref of it."


def scaled_variant(view: View) -> Found:
    for name, properties in view.of(TARGET):
        resource = properties["ResourceId"]
        text = resource["Fn::Sub"] if isinstance(resource, dict) else resource
        if not text.endswith(f"/variant/{VARIANT}"):
            yield name, f"{text} is no variant of the endpoint. Write …/variant/{VARIANT}."


def policy_type(view: View) -> Found:
    for name, properties in view.of(POLICY):
        wanted = CONFIGURATIONS[properties["PolicyType"]]
        if any((field in properties) != (field == wanted) for field in CONFIGURATIONS.values()):
            yield name, f"The type is {properties['PolicyType']}. Write {wanted}, and no other configuration."


def one_target(view: View) -> Found:
    first: dict[str, str] = {}
    for name, properties in view.of(TARGET):
        other = first.setdefault(json.dumps(properties["ResourceId"]), name)
        if other != name:
            yield name, f"It is the same variant as {other}, whose removal would deregister it. Keep one logical id."


RULES: tuple[Rule, ...] = (
    least_capacity,
    capacities,
    target_after_endpoint,
    policy_after_target,
    scaled_variant,
    policy_type,
    one_target,
)
