"""Alarms that roll a deployment back. They take the endpoint's literal name: it refers to them, and must come after."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.spec import VARIANT, EndpointSpec, Mode
from pixelserve_deploy.deployment.templates.resource import Owner, Resource, tagged

FAILURES = "FailuresAlarm"
NAMESPACE = "AWS/SageMaker"
FAILED_SHARE = 0.05
"""Of a minute's requests, of which a real-time endpoint answers so many with 5xx."""
FAILED_COUNT = 10
"""Of a minute, of an asynchronous endpoint: it also counts requests that are the caller's fault."""


def build_alarms(spec: EndpointSpec) -> dict[str, Resource]:
    """By logical id; none without instances. Metrics: developer guide, `SageMaker AI metrics in Amazon CloudWatch`."""
    if not spec.is_on_instances:
        return {}
    dimensions = name_endpoint(spec)
    if spec.mode is Mode.ASYNC:
        watched: dict[str, Any] = {"MetricName": "InvocationFailures", "Statistic": "Sum", "Threshold": FAILED_COUNT}
    else:
        dimensions += [{"Name": "VariantName", "Value": VARIANT}]
        watched = {"MetricName": "Invocation5XXErrors", "Statistic": "Average", "Threshold": FAILED_SHARE}
    return {FAILURES: build_alarm(spec, "More requests fail than before.", Dimensions=dimensions, **watched)}


def name_endpoint(spec: EndpointSpec) -> list[dict[str, str]]:
    """The dimension of the endpoint."""
    return [{"Name": "EndpointName", "Value": spec.name}]


def build_alarm(owner: Owner, description: str, **watched: Any) -> Resource:
    """AWS::CloudWatch::Alarm over minutes; no data is no alarm."""
    properties = {
        "AlarmDescription": description,
        "Namespace": NAMESPACE,
        "Period": 60,
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        **watched,
    }
    return tagged(owner, "AWS::CloudWatch::Alarm", properties)
