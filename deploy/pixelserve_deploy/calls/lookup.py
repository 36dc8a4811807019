"""What AWS knows of an endpoint that is to be called: how it runs, on what, with which model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pixelserve.local import check_name
from pixelserve_deploy.aws import TRIES, AwsError, Session
from pixelserve_deploy.calls.ways import Choice, describe_price
from pixelserve_deploy.deployment import Mode, count_machines, find_mode

LOOKS = 2
"""Tries of a look that a call can do without."""


@dataclass(frozen=True)
class Described:
    """An endpoint. `instance` is the first type of its variant, "" where it has none; `feature` "" of its own model.

    `model` is "" where it could not be looked up; `obstacle` says why a batch job cannot take it, "" where it can.
    """

    name: str
    mode: Mode
    instance: str
    model: str
    feature: str
    obstacle: str = ""
    machines: tuple[tuple[str, int], ...] = ()
    """Instance types and how many there are now, for each variant and each of its pools."""


def look_up(session: Session, endpoint: str, say: Callable[[str], None], target: str = "") -> Described:
    """The same of one that is to be called; without a model where that cannot be found out, which is said.

    Whoever may call an endpoint need not be allowed to look at it, and SageMaker's stand-in here is not known to AWS.
    `target` is the archive of a feature, where it serves several. Raises BadRequest for what is no name.
    """
    name = check_name(endpoint.replace("_", "-"))
    try:
        found = describe_endpoint(session, name, LOOKS)
        return replace(found, feature=target.removesuffix(".tar.gz")) if target else found
    except AwsError as error:
        say(f"What {name} is could not be looked up: {error.message}")
        return Described(name, Mode.REALTIME, "", "", "")


def describe_choice(choice: Choice, found: Described, region: str) -> list[str]:
    """Which way the images go, why, and what the endpoint costs; nothing of one that could not be looked up."""
    if not found.model:
        return []
    return [f"{choice.way.capitalize()}: {choice.why}.", describe_price(found.mode, found.instance, region)]


def describe_endpoint(session: Session, name: str, tries: int = TRIES) -> Described:
    """Looks it up. Raises AwsError where it is not there, or may not be looked at."""
    client = session.client("sagemaker", tries)
    endpoint = client.describe_endpoint(EndpointName=name)
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    variant = config["ProductionVariants"][0]
    model = client.describe_model(ModelName=variant["ModelName"])
    container = model.get("PrimaryContainer", {})
    feature = str(container.get("Environment", {}).get("PIXELSERVE_FEATURE", "")).replace("_", "-")
    return Described(
        name,
        Mode(find_mode(config)),
        _find_instance(variant),
        str(variant["ModelName"]),
        feature,
        _find_obstacle(name, container),
        count_machines(endpoint, config),
    )


def _find_obstacle(name: str, container: Mapping[str, Any]) -> str:
    """Why a batch job cannot take a model (developer guide: multi-model endpoints; uncompressed ML models)."""
    if container.get("Mode") == "MultiModel":
        reason = f"{name} serves several models, and a batch job takes one"
    elif container.get("ModelDataSource"):
        reason = f"The weights of {name} are an uncompressed prefix, and a batch job takes a model.tar.gz"
    else:
        return ""
    return f"{reason}: `pixelserve batch` makes a model of its own with --image, --role, --features and --weights."


def _find_instance(variant: Mapping[str, Any]) -> str:
    pools = sorted(variant.get("InstancePools", []), key=lambda pool: int(pool["Priority"]))
    return str(next((pool["InstanceType"] for pool in pools), variant.get("InstanceType", "")))
