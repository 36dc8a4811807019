"""The execution role: one resource with its policies inline, so that it is whole before the model is made."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.templates.resource import (
    Resource,
    arn,
    attribute,
    s3_arn,
    split_s3,
    tagged,
)

ROLE = "Role"
SAGEMAKER, LAMBDA, SCHEDULER = "sagemaker.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"
"""Service principals; they are the same in both partitions."""
Statement = dict[str, Any]


def allow(actions: list[str], resources: Any, **condition: Any) -> Statement:
    """One statement of a policy."""
    found = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**found, "Condition": condition} if condition else found


def build_role(spec: EndpointSpec, service: str, statements: list[Statement], **attributes: Any) -> Resource:
    """A role that the service may take on."""
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "Policies": [
            {"PolicyName": "pixelserve", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}
        ],
    }
    if spec.permissions_boundary:
        properties["PermissionsBoundary"] = spec.permissions_boundary
    return tagged(spec, "AWS::IAM::Role", properties, **attributes)


def build_execution_role(spec: EndpointSpec, statements: list[Statement]) -> dict[str, Resource]:
    """The endpoint's role, with further statements; none where the spec names one."""
    if spec.role:
        return {}
    statements = [
        *_image(spec),
        *_logs(spec),
        *_weights(spec),
        *_data(spec),
        *statements,
        *_network(spec),
        *_key(spec),
    ]
    return {ROLE: build_role(spec, LAMBDA if spec.mode is Mode.LAMBDA else SAGEMAKER, statements)}


def refer_to_role(spec: EndpointSpec) -> Any:
    """Its ARN as properties take it."""
    return spec.role or attribute(ROLE, "Arn")


def _image(spec: EndpointSpec) -> list[Statement]:
    """Lambda pulls images by a policy of the repository, not by the function's role."""
    if spec.mode is Mode.LAMBDA:
        return []
    host, _, rest = spec.image.partition("/")
    account, region = host.split(".")[0], host.split(".")[3]
    repository = rest.partition("@")[0].partition(":")[0]
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(pull, arn(f"ecr:{region}:{account}:repository/{repository}")),
    ]


def _logs(spec: EndpointSpec) -> list[Statement]:
    """Logs; with them metrics, and the alarms that a deployment watches."""
    write = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    if spec.mode is Mode.LAMBDA:
        group = f"log-group:/aws/lambda/{spec.name}*"
        return [allow(write, arn(f"logs:${{AWS::Region}}:${{AWS::AccountId}}:{group}"))]
    group = f"log-group:/aws/sagemaker/Endpoints/{spec.name}*"
    return [
        allow(write, arn(f"logs:${{AWS::Region}}:${{AWS::AccountId}}:{group}")),
        allow(["cloudwatch:DescribeAlarms", "cloudwatch:PutMetricData"], "*"),
    ]


def _weights(spec: EndpointSpec) -> list[Statement]:
    if not spec.weights:
        return []
    bucket, key = split_s3(spec.weights)
    prefix = key if key.endswith("/") else key.rpartition("/")[0]
    under = f"{spec.weights}*" if key.endswith("/") or not key else spec.weights
    listed = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    return [
        allow(["s3:GetObject"], s3_arn(under)),
        allow(["s3:ListBucket"], arn(f"s3:::{bucket}"), **listed),
    ]


def _data(spec: EndpointSpec) -> list[Statement]:
    """Captured data, and the buckets that `s3://` URLs of requests may name."""
    captured = [allow(["s3:PutObject"], s3_arn(f"{spec.capture}*"))] if spec.capture else []
    buckets = [bucket.strip() for bucket in spec.environment.get("PIXELSERVE_S3_BUCKETS", "").split(",")]
    read = [s3_arn(f"{bucket}/*") for bucket in buckets if bucket]
    return [*captured, allow(["s3:GetObject"], read)] if read else captured


def _network(spec: EndpointSpec) -> list[Statement]:
    """The network interfaces of containers in a VPC, as the developer guide lists them."""
    if not spec.subnets:
        return []
    actions = [
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ]
    if spec.mode is Mode.LAMBDA:
        actions += ["ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
    return [allow(actions, "*")]


def _key(spec: EndpointSpec) -> list[Statement]:
    if not spec.kms_key:
        return []
    actions = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    return [allow(actions, spec.kms_key)]
