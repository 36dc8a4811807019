"""Application Auto Scaling: the target and its policies.

One target has one logical id for ever: the clean-up of another of the same ResourceId would deregister it.
"""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.spec import VARIANT, EndpointSpec
from pixelserve_deploy.deployment.templates.endpoint import ENDPOINT
from pixelserve_deploy.deployment.templates.resource import Resource, ref, sub, tagged, untagged

TARGET, POLICY = "ScalableTarget", "ScalingPolicy"
IN_SECONDS, OUT_SECONDS = 300, 60
"""Pauses after removing and after adding instances."""
CONCURRENT = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
"""Looks every 10 seconds (developer guide, endpoint auto scaling)."""


def build_scaling(spec: EndpointSpec) -> dict[str, Resource]:
    """Target tracking on the requests that an instance has in work; nothing for a fixed number of instances."""
    if not spec.scales:
        return {}
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": CONCURRENT}}
    return {TARGET: build_target(spec), POLICY: build_tracking(spec, metric)}


def build_target(spec: EndpointSpec) -> Resource:
    """AWS::ApplicationAutoScaling::ScalableTarget of the variant."""
    properties = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": sub(f"endpoint/${{{ENDPOINT}.EndpointName}}/variant/{VARIANT}"),
        "MinCapacity": spec.least,
        "MaxCapacity": spec.greatest,
    }
    return tagged(spec, "AWS::ApplicationAutoScaling::ScalableTarget", properties)


def build_policy(name: str, kind: str, **configuration: Any) -> Resource:
    """AWS::ApplicationAutoScaling::ScalingPolicy of the target."""
    properties = {"PolicyName": name, "PolicyType": kind, "ScalingTargetId": ref(TARGET), **configuration}
    return untagged("AWS::ApplicationAutoScaling::ScalingPolicy", properties)


def build_tracking(spec: EndpointSpec, metric: dict[str, Any]) -> Resource:
    """The policy that keeps a metric of an instance at `concurrent`."""
    tracking = {
        **metric,
        "TargetValue": spec.concurrent,
        "ScaleInCooldown": IN_SECONDS,
        "ScaleOutCooldown": OUT_SECONDS,
    }
    return build_policy("load", "TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=tracking)
