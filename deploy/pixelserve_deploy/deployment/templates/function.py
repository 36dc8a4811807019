"""A Lambda function from the image's target `lambda`, with a URL where the region has them."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.deployment.templates.model import list_environment, pin_image
from pixelserve_deploy.deployment.templates.resource import Resource, ref, tagged, untagged
from pixelserve_deploy.deployment.templates.roles import refer_to_role

FUNCTION, URL = "Function", "FunctionUrl"
WITHOUT_URLS = frozenset(
    {
        "ap-east-2",
        "ap-south-2",
        "ap-southeast-4",
        "ap-southeast-5",
        "ap-southeast-6",
        "ap-southeast-7",
        "ca-west-1",
        "eu-central-2",
        "eu-south-2",
        "il-central-1",
        "me-central-1",
    }
)
"""Regions without function URLs (Lambda developer guide); China's two have none either."""


def has_urls(region: str) -> bool:
    """Whether a function of the region can have a URL."""
    return region not in WITHOUT_URLS and not region.startswith("cn-")


def build_function(spec: EndpointSpec, facts: Facts) -> dict[str, Resource]:
    """AWS::Lambda::Function, and a URL that takes signed requests only."""
    properties: dict[str, Any] = {
        "FunctionName": spec.name,
        "Description": "pixelserve",
        "PackageType": "Image",
        "Code": {"ImageUri": pin_image(spec.image, facts.digest)},
        "Architectures": ["x86_64"],
        "Role": refer_to_role(spec),
        "MemorySize": spec.memory_mb,
        "Timeout": spec.timeout_seconds,
    }
    environment = list_environment(spec)
    if environment:
        properties["Environment"] = {"Variables": environment}
    if spec.concurrency is not None:
        properties["ReservedConcurrentExecutions"] = spec.concurrency
    if spec.subnets:
        properties["VpcConfig"] = {"SubnetIds": [*spec.subnets], "SecurityGroupIds": [*spec.security_groups]}
    if spec.kms_key:
        properties["KmsKeyArn"] = spec.kms_key
    function = {FUNCTION: tagged(spec, "AWS::Lambda::Function", properties)}
    if not has_urls(facts.region):
        return function
    url = {"TargetFunctionArn": ref(FUNCTION), "AuthType": "AWS_IAM", "InvokeMode": "BUFFERED"}
    return {**function, URL: untagged("AWS::Lambda::Url", url)}
