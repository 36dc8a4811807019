"""What AWS knows of an endpoint that is to be called: how it runs, on what, with which model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixelserve_deploy.aws import Session
from pixelserve_deploy.deployment import Mode, find_mode


@dataclass(frozen=True)
class Described:
    """An endpoint. `instance` is the first type of its variant, "" where it has none; `feature` "" of its own model."""

    name: str
    mode: Mode
    instance: str
    model: str
    feature: str


def describe_endpoint(session: Session, name: str) -> Described:
    """Looks it up. Raises AwsError where it is not there, or may not be looked at."""
    client = session.client("sagemaker")
    endpoint = client.describe_endpoint(EndpointName=name)
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    variant = config["ProductionVariants"][0]
    model = client.describe_model(ModelName=variant["ModelName"])
    environment = model.get("PrimaryContainer", {}).get("Environment", {})
    feature = str(environment.get("PIXELSERVE_FEATURE", "")).replace("_", "-")
    return Described(name, Mode(find_mode(config)), _find_instance(variant), str(variant["ModelName"]), feature)


def _find_instance(variant: Mapping[str, Any]) -> str:
    pools = sorted(variant.get("InstancePools", []), key=lambda pool: int(pool["Priority"]))
    return str(next((pool["InstanceType"] for pool in pools), variant.get("InstanceType", "")))
