"""REST APIs that can be deployed, with all that their templates can have, in both partitions."""

from __future__ import annotations

from typing import Any

from endpoint_specs import ACCOUNT, DIGEST, REGIONS

from pixelserve.features import FEATURES
from pixelserve_deploy.deployment.api import ApiSpec, name_parameter, set_parameters
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.reading import make_api
from pixelserve_deploy.deployment.templates import Template, build_api_template

SWITCHES = [name_parameter(feature) for feature in FEATURES]
IMAGES = {"gateway_image": "gateway", "lambda_image": "lambda", "image": "server"}
FIELDS: dict[str, dict[str, Any]] = {
    "both": {},
    "functions": {"image": "", "memory_mb": 3008},
    "endpoints": {"lambda_image": "", "instances": ["ml.g4dn.xlarge", "ml.g5.xlarge"], "most": 2},
    "bounded": {
        "permissions_boundary": "arn:{partition}:iam::123456789012:policy/bound",
        "tags": {"team": "pictures"},
        "asynchronous": ["image-super-resolution"],
        "environment": {"PIXELSERVE_S3_BUCKETS": "pictures"},
    },
    "most": {
        "name": "a" * 20,
        "most": 4,
        "asynchronous": [feature.endpoint for feature in FEATURES],
    },
}
"""By what they are for; `most` is the largest template without tags of one's own."""


def build_api(base: str = "both", region: str = "us-east-2", /, **fields: Any) -> ApiSpec:
    """One of them, with other fields."""
    partition, domain = REGIONS[region]
    images = {field: f"{ACCOUNT}.dkr.ecr.{region}.{domain}/{target}@{DIGEST}" for field, target in IMAGES.items()}
    placed = {
        key: value.format(partition=partition) if isinstance(value, str) else value
        for key, value in FIELDS[base].items()
    }
    return make_api({"name": "api", "region": region, **images, **placed, **fields})


def build_api_of(base: str = "both", region: str = "us-east-2", facts: Facts | None = None) -> Template:
    """Its template, with the parameters' defaults."""
    spec = build_api(base, region)
    return build_api_template(spec, set_parameters(spec, {}, {}), facts or Facts(region=region))
