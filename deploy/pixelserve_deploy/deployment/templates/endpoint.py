"""EndpointConfig and Endpoint. Only the latter has a name of ours, so a new configuration stands beside the old one."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.ami import choose_ami
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import (
    BATCH_PERCENT,
    VARIANT,
    EndpointSpec,
    Mode,
    Update,
    count_in_update,
    has_gpu,
)
from pixelserve_deploy.deployment.templates.model import KEPT, MODEL
from pixelserve_deploy.deployment.templates.resource import Resource, attribute, ref, tagged

CONFIG, ENDPOINT = "EndpointConfig", "Endpoint"
BAKE_SECONDS = 300
"""Alarms are watched for so long before the old instances go."""
DOWNLOAD_SECONDS = 600
PROVISION_SECONDS = 900
"""Over all instance pools."""
UPDATE_SECONDS = 3600
WEIGHT, WEIGHT_SCALING = 1, 2
"""Of the only variant, so it says nothing. But UpdateEndpoint wants a new configuration, also where only scaling comes
or goes."""
COUNT_AS_CONFIGURED = [{"VariantPropertyType": "DesiredInstanceCount"}]
CAPTURED_AS_JSON = ["application/json"]
"""All other types, so raw images, are captured as Base64 (API reference of CaptureContentTypeHeader)."""


def build_config(spec: EndpointSpec, facts: Facts, asynchronous: dict[str, Any] | None = None) -> Resource:
    """AWS::SageMaker::EndpointConfig; `asynchronous` is its AsyncInferenceConfig."""
    variant = _serverless(spec) if spec.mode is Mode.SERVERLESS else _instances(spec, facts)
    variant = {"VariantName": VARIANT, "ModelName": attribute(MODEL, "ModelName"), **variant}
    properties: dict[str, Any] = {"ProductionVariants": [variant]}
    if spec.is_on_instances:
        properties["MetricsConfig"] = {"EnableDetailedObservability": spec.observability}
        if spec.kms_key:
            properties["KmsKeyId"] = spec.kms_key
    if asynchronous is not None:
        properties["AsyncInferenceConfig"] = asynchronous
    if spec.capture:
        properties["DataCaptureConfig"] = _capture(spec)
    return tagged(spec, "AWS::SageMaker::EndpointConfig", properties, **KEPT)


def _serverless(spec: EndpointSpec) -> dict[str, Any]:
    sizes = {"MemorySizeInMB": spec.memory_mb, "MaxConcurrency": spec.calls_at_once}
    return {"ServerlessConfig": sizes}


def _instances(spec: EndpointSpec, facts: Facts) -> dict[str, Any]:
    variant: dict[str, Any] = {
        "InitialInstanceCount": max(spec.least, 1),
        "InitialVariantWeight": WEIGHT_SCALING if spec.scales else WEIGHT,
        "ContainerStartupHealthCheckTimeoutInSeconds": spec.start_seconds,
        "ModelDataDownloadTimeoutInSeconds": DOWNLOAD_SECONDS,
    }
    if len(spec.instances) == 1:
        variant["InstanceType"] = spec.instances[0]
    else:
        pools = enumerate(spec.instances, 1)
        variant["InstancePools"] = [{"InstanceType": kind, "Priority": priority} for priority, kind in pools]
        variant["VariantInstanceProvisionTimeoutInSeconds"] = PROVISION_SECONDS
    if has_gpu(spec.instances[0]):
        variant["InferenceAmiVersion"] = spec.ami or choose_ami(facts.cuda)
    return variant


def _capture(spec: EndpointSpec) -> dict[str, Any]:
    capture = {
        "EnableCapture": True,
        "DestinationS3Uri": spec.capture,
        "InitialSamplingPercentage": spec.capture_percent,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": CAPTURED_AS_JSON},
    }
    return {**capture, "KmsKeyId": spec.kms_key} if spec.kms_key else capture


def build_endpoint(spec: EndpointSpec, facts: Facts, alarms: list[str]) -> Resource:
    """AWS::SageMaker::Endpoint; `alarms` are logical ids of those that roll a deployment back.

    An update keeps the number of instances that scaling has come to; without scaling it is the configuration's.
    """
    properties: dict[str, Any] = {
        "EndpointName": spec.name,
        "EndpointConfigName": attribute(CONFIG, "EndpointConfigName"),
    }
    if spec.is_on_instances:
        properties["RetainAllVariantProperties"] = True
        if not spec.scales:
            properties["ExcludeRetainedVariantProperties"] = COUNT_AS_CONFIGURED
        properties["DeploymentConfig"] = {
            **_update_policy(choose_update(spec, facts)),
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": ref(alarm)} for alarm in alarms]},
        }
    return tagged(spec, "AWS::SageMaker::Endpoint", properties)


def choose_update(spec: EndpointSpec, facts: Facts) -> Update:
    """Blue/green unless the spec asks for rolling, or the quota holds the instances of that only."""
    if spec.update is not None:
        return spec.update
    quota = facts.quotas.get(spec.instances[0])
    rolling, double = (count_in_update(update, spec.least) for update in (Update.ROLLING, Update.BLUE_GREEN))
    return Update.ROLLING if quota is not None and spec.least > 1 and rolling <= quota < double else Update.BLUE_GREEN


def _update_policy(update: Update) -> dict[str, Any]:
    """A canary needs two instances at least, so traffic moves at once and is watched."""
    if update is Update.BLUE_GREEN:
        traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": BAKE_SECONDS}
        return {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": traffic,
                "MaximumExecutionTimeoutInSeconds": UPDATE_SECONDS,
            }
        }
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": BATCH_PERCENT},
            "WaitIntervalInSeconds": BAKE_SECONDS,
            "MaximumExecutionTimeoutInSeconds": UPDATE_SECONDS,
        }
    }


def find_instances(template: dict[str, Any], name: str = CONFIG) -> list[str]:
    """The instance types of a configuration's variant, in order of preference; none without instances."""
    config = template["Resources"].get(name)
    if config is None:
        return []
    variant = config["Properties"]["ProductionVariants"][0]
    pools = sorted(variant.get("InstancePools", []), key=lambda pool: int(pool["Priority"]))
    return [str(pool["InstanceType"]) for pool in pools or [variant] if "InstanceType" in pool]
