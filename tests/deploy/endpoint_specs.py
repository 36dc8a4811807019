"""Specs of endpoints that can be deployed, one for each thing that a template can have, in both partitions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.reading import make_spec
from pixelserve_deploy.deployment.spec import EndpointSpec

REGIONS = {"us-east-2": ("aws", "amazonaws.com"), "cn-northwest-1": ("aws-cn", "amazonaws.com.cn")}
ACCOUNT = "123456789012"
DIGEST = f"sha256:{'a' * 64}"
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

FIELDS: dict[str, dict[str, Any]] = {
    "realtime": {},
    "scaled": {"count": 2, "most": 4, "weights": "s3://weights/x4/", "tags": {"team": "pictures"}},
    "rolling": {"count": 2, "update": "rolling", "features": ["image-similarity"]},
    "on-cpu": {"instances": ["ml.c6i.xlarge"], "weights": "s3://weights/model.tar.gz", "observability": False},
    "pools": {
        "instances": ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge"],
        "most": 3,
        "capture": "s3://captured/a/",
    },
    "closed": {
        "subnets": ["subnet-0123456789abcdef0"],
        "security_groups": ["sg-0123456789abcdef0"],
        "kms_key": "arn:{partition}:kms:{region}:123456789012:key/12345678-1234-1234-1234-123456789012",
        "permissions_boundary": "arn:{partition}:iam::123456789012:policy/bound",
        "network_isolation": True,
        "weights": "s3://weights/x4/",
        "capture": "s3://captured/",
        "capture_percent": 5,
    },
    "own-role": {"role": "arn:{partition}:iam::123456789012:role/run"},
    "several": {"features": ["image-similarity", "image-super-resolution"], "weights": "s3://weights/archives/"},
    "hours": {"ttl_hours": 8, "most": 2, "environment": {"PIXELSERVE_S3_BUCKETS": "pictures, more-pictures"}},
    "async": {"mode": "async", "most": 2},
    "async-elsewhere": {
        "mode": "async",
        "instances": ["ml.g5.xlarge", "ml.g4dn.2xlarge"],
        "count": 1,
        "most": 3,
        "output": "s3://results/here/",
        "ttl_hours": 2.5,
        "kms_key": "arn:{partition}:kms:{region}:123456789012:key/12345678-1234-1234-1234-123456789012",
        "role": "arn:{partition}:iam::123456789012:role/run",
        "ttl_role": "arn:{partition}:iam::123456789012:role/end",
    },
    "serverless": {"mode": "serverless", "memory_mb": 6144, "weights": "s3://weights/model.tar.gz"},
    "lambda": {"mode": "lambda", "memory_mb": 10240, "timeout_seconds": 120, "features": ["human-image-segmentation"]},
    "lambda-closed": {
        "mode": "lambda",
        "features": ["image-super-resolution"],
        "concurrency": 5,
        "subnets": ["subnet-0123456789abcdef0"],
        "security_groups": ["sg-0123456789abcdef0"],
        "kms_key": "arn:{partition}:kms:{region}:123456789012:key/12345678-1234-1234-1234-123456789012",
        "ttl_hours": 1,
    },
}
"""By what they are for; `{partition}` and `{region}` stand in ARNs."""


def build_spec(base: str, region: str = "us-east-2", /, **fields: Any) -> EndpointSpec:
    """One of them, with other fields."""
    partition, domain = REGIONS[region]
    image = f"{ACCOUNT}.dkr.ecr.{region}.{domain}/pixelserve:0.1.0"
    placed = {
        key: value.format(partition=partition, region=region) if isinstance(value, str) else value
        for key, value in FIELDS[base].items()
    }
    return make_spec({"name": "upscaler", "image": image, **placed, **fields})


def build_facts(region: str = "us-east-2", /, **fields: Any) -> Facts:
    """What is known there."""
    return Facts(**{"region": region, "account": ACCOUNT, "digest": DIGEST, "now": NOW, **fields})
