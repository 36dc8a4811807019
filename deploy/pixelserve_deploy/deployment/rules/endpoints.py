"""Rules for models, configurations and endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from pixelserve_deploy.cost import ASYNC_INSTEAD
from pixelserve_deploy.deployment.resolver import refers
from pixelserve_deploy.deployment.rules.rule import Rule, View, list_types
from pixelserve_deploy.deployment.spec import SERVERLESS_MB, VARIANT, has_gpu

Found = Iterator[tuple[str, str]]
MODEL, CONFIG, ENDPOINT = "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Endpoint"
TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
OF_INSTANCES = ("InstanceType", "InstancePools", "InitialInstanceCount", "InferenceAmiVersion")


def unnamed(view: View) -> Found:
    """Names of ours would stand in the way of their replacements."""
    names = {MODEL: "ModelName", CONFIG: "EndpointConfigName", "AWS::IAM::Role": "RoleName"}
    for kind, field in names.items():
        for name, properties in view.of(kind):
            if field in properties:
                yield name, f"A replacement of this name cannot be made beside it. Remove {field}."


def endpoint_name(view: View) -> Found:
    for name, properties in view.of(ENDPOINT):
        given = properties.get("EndpointName")
        if not isinstance(given, str) or given != given.lower():
            yield name, "Invocations, policies and alarms go by the literal name. Write EndpointName in lower case."


def variant_name(view: View) -> Found:
    for name, variant in view.variants():
        if variant["VariantName"] != VARIANT:
            yield name, f"Updates demand that a variant keeps its name. Write {VARIANT}."


def machine(view: View) -> Found:
    for name, variant in view.variants():
        if not list_types(variant) and "ServerlessConfig" not in variant:
            yield name, "The variant has nothing to run on. Write InstanceType, InstancePools or ServerlessConfig."


def serverless_memory(view: View) -> Found:
    for name, variant in view.variants():
        memory = variant.get("ServerlessConfig", {}).get("MemorySizeInMB", SERVERLESS_MB[0])
        if memory not in SERVERLESS_MB:
            yield name, f"MemorySizeInMB is {memory}. Write a multiple of 1024 up to 6144."


def serverless_machine(view: View) -> Found:
    for name, variant in view.variants():
        given = [field for field in OF_INSTANCES if field in variant]
        if "ServerlessConfig" in variant and given:
            yield name, f"A serverless variant has no instances. Remove {', '.join(given)}."


def serverless_data(view: View) -> Found:
    for name, properties in view.of(MODEL):
        if view.is_serverless() and "ModelDataSource" in properties["PrimaryContainer"]:
            yield name, "Serverless endpoints take no uncompressed prefix. Write ModelDataUrl of a .tar.gz."


def async_machine(view: View) -> Found:
    configs = [(name, one) for name, one in view.of(CONFIG) if "AsyncInferenceConfig" in one]
    for name, config in configs:
        for kind in list_types(config["ProductionVariants"][0]):
            if kind in ASYNC_INSTEAD:
                yield name, f"{kind} is not offered for asynchronous endpoints. Write {ASYNC_INSTEAD[kind]}."


def offered_machine(view: View) -> Found:
    for name, variant in view.variants():
        for kind in list_types(variant):
            if view.facts.offered is not None and kind not in view.facts.offered:
                yield name, f"{view.facts.region} does not offer {kind}. Write one of its types."


def ami_without_gpu(view: View) -> Found:
    for name, variant in view.variants():
        if "InferenceAmiVersion" in variant and any(not has_gpu(kind) for kind in list_types(variant)):
            yield name, "InferenceAmiVersion is for GPUs, and an instance type has none. Remove it."


def ami_missing(view: View) -> Found:
    for name, variant in view.variants():
        if "InferenceAmiVersion" not in variant and any(has_gpu(kind) for kind in list_types(variant)):
            yield name, "The default driver runs CUDA 11.4, and no current torch. Write InferenceAmiVersion."


def one_update_policy(view: View) -> Found:
    for name, properties in view.of(ENDPOINT):
        if {"BlueGreenUpdatePolicy", "RollingUpdatePolicy"} <= properties.get("DeploymentConfig", {}).keys():
            yield name, "SageMaker takes one update policy. Remove BlueGreenUpdatePolicy or RollingUpdatePolicy."


def bake_time(view: View) -> Found:
    for name, properties in view.of(ENDPOINT):
        policy = properties.get("DeploymentConfig", {}).get("BlueGreenUpdatePolicy", {})
        traffic = policy.get("TrafficRoutingConfiguration", {})
        waits = traffic.get("WaitIntervalInSeconds", 0) + policy.get("TerminationWaitInSeconds", 0)
        most = policy.get("MaximumExecutionTimeoutInSeconds")
        if most is not None and waits >= most:
            yield name, f"It waits for {waits} s of at most {most}. Write a larger MaximumExecutionTimeoutInSeconds."


def rolling_serverless(view: View) -> Found:
    for name, properties in view.of(ENDPOINT):
        if view.is_serverless() and "RollingUpdatePolicy" in properties.get("DeploymentConfig", {}):
            yield name, "A serverless endpoint has no instances to roll. Remove RollingUpdatePolicy."


def kept_properties(view: View) -> Found:
    scaled = [properties["ResourceId"] for _, properties in view.of(TARGET)]
    for name, properties in view.of(ENDPOINT):
        scales = any(name in refers(one) or f"/{properties.get('EndpointName')}/" in str(one) for one in scaled)
        excluded = scales and properties.get("ExcludeRetainedVariantProperties")
        if not view.is_serverless() and (excluded or properties.get("RetainAllVariantProperties") is not True):
            yield name, "An update would set the number of instances back. Write RetainAllVariantProperties: true, " \
                        "and exclude nothing of what scales."  # fmt: skip


def rollback_alarms(view: View) -> Found:
    for name, properties in view.of(ENDPOINT):
        rollback = properties.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {})
        if not view.is_serverless() and not rollback.get("Alarms"):
            yield name, "Without alarms nothing is rolled back. Write AutoRollbackConfiguration with Alarms."


def alarm_before_endpoint(view: View) -> Found:
    endpoints = {name for name, _ in view.of(ENDPOINT)}
    for name, properties in view.of("AWS::CloudWatch::Alarm"):
        if endpoints & refers(properties):
            yield name, "The endpoint refers to its alarms: a cycle. Write the endpoint's literal name in them."


def one_model_data(view: View) -> Found:
    for name, properties in view.of(MODEL):
        if {"ModelDataUrl", "ModelDataSource"} <= properties["PrimaryContainer"].keys():
            yield name, "Weights come from one place. Remove ModelDataUrl or ModelDataSource."


def prefix_slash(view: View) -> Found:
    for name, properties in view.of(MODEL):
        source = properties["PrimaryContainer"].get("ModelDataSource", {}).get("S3DataSource", {})
        if source.get("S3DataType") == "S3Prefix" and not source["S3Uri"].endswith("/"):
            yield name, f"{source['S3Uri']} is no prefix. Write a slash at its end."


RULES: tuple[Rule, ...] = (
    unnamed,
    endpoint_name,
    variant_name,
    machine,
    serverless_memory,
    serverless_machine,
    serverless_data,
    async_machine,
    offered_machine,
    ami_without_gpu,
    ami_missing,
    one_update_policy,
    bake_time,
    rolling_serverless,
    kept_properties,
    rollback_alarms,
    alarm_before_endpoint,
    one_model_data,
    prefix_slash,
)
