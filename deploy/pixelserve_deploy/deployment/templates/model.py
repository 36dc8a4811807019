"""Model: the image by its digest, weights, environment, network. It has no name of ours: a new one stands beside it."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.cost import MODES
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.templates.resource import Resource, tagged
from pixelserve_deploy.deployment.templates.roles import refer_to_role

MODEL = "Model"
KEPT = {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Retain"}
"""SageMaker can roll back silently to the old pair; the tool deletes it once it has looked."""


def build_model(spec: EndpointSpec, facts: Facts) -> Resource:
    """AWS::SageMaker::Model."""
    container: dict[str, Any] = {"Image": pin_image(spec.image, facts.digest), **_model_data(spec)}
    environment = list_environment(spec)
    if environment:
        container["Environment"] = environment
    properties: dict[str, Any] = {"ExecutionRoleArn": refer_to_role(spec), "PrimaryContainer": container}
    if spec.network_isolation:
        properties["EnableNetworkIsolation"] = True
    if spec.subnets:
        properties["VpcConfig"] = {"Subnets": [*spec.subnets], "SecurityGroupIds": [*spec.security_groups]}
    return tagged(spec, "AWS::SageMaker::Model", properties, **KEPT)


def pin_image(image: str, digest: str) -> str:
    """The image by its digest, so that a tag that moves changes nothing unseen."""
    if not digest or "@" in image:
        return image
    host, _, rest = image.partition("/")
    return f"{host}/{rest.partition(':')[0]}@{digest}"


def list_environment(spec: EndpointSpec) -> dict[str, str]:
    """The container's variables; a spec's own come before ours."""
    environment = {"PIXELSERVE_FETCH": "false"} if spec.network_isolation else {}
    if spec.is_multi_model:
        environment["SAGEMAKER_MULTI_MODEL"] = "true"
    elif spec.features:
        environment["PIXELSERVE_FEATURE"] = spec.features[0].replace("-", "_")
    seconds = {Mode.ASYNC: MODES[Mode.ASYNC].seconds, Mode.LAMBDA: spec.timeout_seconds}.get(spec.mode)
    if seconds is not None:  # the server refuses what takes longer, and has 60 s by itself
        environment["SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS"] = str(seconds)
    return environment | spec.environment


def _model_data(spec: EndpointSpec) -> dict[str, Any]:
    if spec.is_multi_model:
        return {"Mode": "MultiModel", "ModelDataUrl": spec.weights}
    if not spec.weights:
        return {}
    if not spec.weights.endswith("/"):
        return {"ModelDataUrl": spec.weights}
    source = {"S3Uri": spec.weights, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}
