"""One mutant for each of our own rules: a template that works is broken in one place, and that rule alone says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from api_specs import build_api_of
from endpoint_specs import build_facts, build_spec

from pixelserve_deploy.deployment.rules import RULES, Finding, check_template
from pixelserve_deploy.deployment.templates import build_template

Properties = dict[str, Any]
Mutation = Callable[[Properties], None]


def find_place(resources: Properties, name: str, path: str) -> tuple[Any, str | int]:
    """What holds the property of the resource, and its key there; the path's parts are keys or numbers."""
    *parts, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place: Any = resources[name]
    for part in parts:
        place = place[part]
    return place, last


def set_in(name: str, path: str, value: Any) -> Mutation:
    """Sets a property of the resource."""

    def mutate(resources: Properties) -> None:
        place, key = find_place(resources, name, path)
        place[key] = value

    return mutate


def drop(name: str, path: str) -> Mutation:
    """Removes a property of the resource."""

    def mutate(resources: Properties) -> None:
        place, key = find_place(resources, name, path)
        del place[key]

    return mutate


def add(name: str, kind: str, **properties: Any) -> Mutation:
    """Adds a resource."""
    return lambda resources: resources.update({name: {"Type": kind, "Properties": properties}})


def copy(name: str, other: str) -> Mutation:
    """Adds a resource like another."""
    return lambda resources: resources.update({other: resources[name]})


def both(*mutations: Mutation) -> Mutation:
    def mutate(resources: Properties) -> None:
        for mutation in mutations:
            mutation(resources)

    return mutate


def find_deployment(resources: Properties, beginning: str) -> tuple[str, Properties]:
    """The Deployment of one authorization."""
    return next((name, one) for name, one in resources.items() if name.startswith(f"{beginning}Deployment"))


VARIANT = "Properties.ProductionVariants.0"
CONTAINER = "Properties.PrimaryContainer"
DEPLOYMENT = "Properties.DeploymentConfig"
ROLLING = {
    "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
    "WaitIntervalInSeconds": 60,
    "MaximumExecutionTimeoutInSeconds": 600,
}
PREFIX = {"S3DataSource": {"S3Uri": "s3://weights/x4/", "S3DataType": "S3Prefix", "CompressionType": "None"}}

MUTANTS: dict[str, tuple[str, str, Mutation, str]] = {
    "unnamed": ("realtime", "us-east-2", set_in("Model", "Properties.ModelName", "upscaler"), "Remove ModelName"),
    "endpoint_name": ("realtime", "us-east-2", set_in("Endpoint", "Properties.EndpointName", "Upscaler"), "lower case"),
    "variant_name": ("realtime", "us-east-2", set_in("EndpointConfig", f"{VARIANT}.VariantName", "one"), "AllTraffic"),
    "machine": (
        "on-cpu",
        "us-east-2",
        drop("EndpointConfig", f"{VARIANT}.InstanceType"),
        "InstanceType, InstancePools or ServerlessConfig",
    ),
    "serverless_memory": (
        "serverless",
        "us-east-2",
        set_in("EndpointConfig", f"{VARIANT}.ServerlessConfig.MemorySizeInMB", 5000),
        "a multiple of 1024 up to 6144",
    ),
    "serverless_machine": (
        "serverless",
        "us-east-2",
        set_in("EndpointConfig", f"{VARIANT}.InstanceType", "ml.c6i.xlarge"),
        "Remove InstanceType",
    ),
    "serverless_data": (
        "serverless",
        "us-east-2",
        both(drop("Model", f"{CONTAINER}.ModelDataUrl"), set_in("Model", f"{CONTAINER}.ModelDataSource", PREFIX)),
        "ModelDataUrl of a .tar.gz",
    ),
    "async_machine": (
        "async",
        "us-east-2",
        set_in("EndpointConfig", f"{VARIANT}.InstanceType", "ml.g4dn.xlarge"),
        "Write ml.g4dn.2xlarge",
    ),
    "offered_machine": (
        "on-cpu",
        "cn-northwest-1",
        set_in("EndpointConfig", f"{VARIANT}.InstanceType", "ml.c7i.xlarge"),
        "does not offer ml.c7i.xlarge",
    ),
    "ami_without_gpu": (
        "on-cpu",
        "us-east-2",
        set_in("EndpointConfig", f"{VARIANT}.InferenceAmiVersion", "al2-ami-sagemaker-inference-gpu-2"),
        "Remove it",
    ),
    "ami_missing": (
        "pools",
        "us-east-2",
        drop("EndpointConfig", f"{VARIANT}.InferenceAmiVersion"),
        "Write InferenceAmiVersion",
    ),
    "one_update_policy": (
        "scaled",
        "us-east-2",
        set_in("Endpoint", f"{DEPLOYMENT}.RollingUpdatePolicy", ROLLING),
        "Remove BlueGreenUpdatePolicy or RollingUpdatePolicy",
    ),
    "bake_time": (
        "realtime",
        "us-east-2",
        set_in("Endpoint", f"{DEPLOYMENT}.BlueGreenUpdatePolicy.TerminationWaitInSeconds", 3300),
        "larger MaximumExecutionTimeoutInSeconds",
    ),
    "rolling_serverless": (
        "serverless",
        "us-east-2",
        set_in("Endpoint", DEPLOYMENT, {"RollingUpdatePolicy": ROLLING}),
        "Remove RollingUpdatePolicy",
    ),
    "kept_properties": (
        "scaled",
        "us-east-2",
        drop("Endpoint", "Properties.RetainAllVariantProperties"),
        "RetainAllVariantProperties: true",
    ),
    "rollback_alarms": (
        "realtime",
        "us-east-2",
        set_in("Endpoint", f"{DEPLOYMENT}.AutoRollbackConfiguration.Alarms", []),
        "AutoRollbackConfiguration with Alarms",
    ),
    "alarm_before_endpoint": (
        "async",
        "us-east-2",
        set_in("FailuresAlarm", "Properties.Dimensions.0.Value", {"Fn::GetAtt": ["Endpoint", "EndpointName"]}),
        "literal name",
    ),
    "one_model_data": (
        "scaled",
        "us-east-2",
        set_in("Model", f"{CONTAINER}.ModelDataUrl", "s3://weights/model.tar.gz"),
        "Remove ModelDataUrl or ModelDataSource",
    ),
    "prefix_slash": (
        "scaled",
        "us-east-2",
        set_in("Model", f"{CONTAINER}.ModelDataSource.S3DataSource.S3Uri", "s3://weights/x4"),
        "a slash at its end",
    ),
    "least_capacity": ("scaled", "us-east-2", set_in("ScalableTarget", "Properties.MinCapacity", 0), "MinCapacity 1"),
    "capacities": ("scaled", "us-east-2", set_in("ScalableTarget", "Properties.MinCapacity", 5), "other way round"),
    "target_after_endpoint": (
        "scaled",
        "us-east-2",
        set_in("ScalableTarget", "Properties.ResourceId", "endpoint/upscaler/variant/AllTraffic"),
        "${Endpoint.EndpointName}",
    ),
    "policy_after_target": (
        "scaled",
        "us-east-2",
        drop("ScalingPolicy", "Properties.ScalingTargetId"),
        "ScalingTargetId as a Ref",
    ),
    "scaled_variant": (
        "scaled",
        "us-east-2",
        set_in("ScalableTarget", "Properties.ResourceId", {"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/a"}),
        "/variant/AllTraffic",
    ),
    "policy_type": (
        "async",
        "us-east-2",
        set_in("WakePolicy", "Properties.PolicyType", "TargetTrackingScaling"),
        "Write TargetTrackingScalingPolicyConfiguration",
    ),
    "one_target": ("scaled", "us-east-2", copy("ScalableTarget", "OtherTarget"), "Keep one logical id"),
    "trust": (
        "lambda",
        "us-east-2",
        set_in(
            "Role",
            "Properties.AssumeRolePolicyDocument.Statement.0.Principal",
            {"Service": "sagemaker.amazonaws.com"},
        ),
        "Write lambda.amazonaws.com",
    ),
    "partition": (
        "scaled",
        "cn-northwest-1",
        set_in(
            "Role", "Properties.Policies.0.PolicyDocument.Statement.1.Resource", "arn:aws:ecr:us-east-2:1:repository/a"
        ),
        "Write arn:${AWS::Partition}",
    ),
    "describe_alarms": (
        "realtime",
        "us-east-2",
        set_in("Role", "Properties.Policies.0.PolicyDocument.Statement.3.Action", ["cloudwatch:PutMetricData"]),
        "Allow cloudwatch:DescribeAlarms",
    ),
    "tags": ("async", "us-east-2", drop("SuccessTopic", "Properties.Tags"), "Write Tags"),
    "elsewhere": (
        "realtime",
        "us-east-2",
        add("Log", "AWS::Logs::LogGroup", LogGroupName="/aws/sagemaker/Endpoints/upscaler"),
        "Make it before the stack",
    ),
    "function_memory": ("lambda", "us-east-2", set_in("Function", "Properties.MemorySize", 20000), "128 to 10240"),
    "function_url": (
        "lambda",
        "cn-northwest-1",
        add("Url", "AWS::Lambda::Url", TargetFunctionArn={"Ref": "Function"}, AuthType="AWS_IAM"),
        "has no function URLs",
    ),
    "signed_url": ("lambda", "us-east-2", set_in("FunctionUrl", "Properties.AuthType", "NONE"), "AuthType AWS_IAM"),
    "deployment_after_methods": (
        "api",
        "us-east-2",
        lambda resources: find_deployment(resources, "Open")[1]["DependsOn"].remove("ProxyMethod"),
        "Write DependsOn",
    ),
    "deployment_name": (
        "api",
        "us-east-2",
        set_in("RootPage", "Properties.AuthorizationType", "AWS_IAM"),
        "End its logical id with",
    ),
    "deployment_choice": (
        "api",
        "us-east-2",
        lambda resources: resources["Stage"]["Properties"].update(
            DeploymentId={"Ref": find_deployment(resources, "Signed")[0]}
        ),
        "Write an Fn::If of two Deployments",
    ),
    "size": (
        "realtime",
        "us-east-2",
        set_in("Model", f"{CONTAINER}.Environment", {f"V{number}": "x" * 1000 for number in range(50)}),
        "Split the stack",
    ),
}
"""By rule: spec, region, what is broken, and words of what is to be written instead."""
OFFERED = frozenset({"ml.g4dn.xlarge", "ml.g4dn.2xlarge", "ml.g5.xlarge", "ml.g6.xlarge", "ml.c6i.xlarge"})


def check(name: str, region: str, mutate: Mutation) -> list[Finding]:
    facts = build_facts(region, offered=OFFERED)
    is_api = name == "api"
    template = build_api_of("most", region, facts) if is_api else build_template(build_spec(name, region), facts)
    mutate(template["Resources"])
    return check_template(template, facts)


@pytest.mark.parametrize("rule", RULES)
def test_a_mutant_is_found_by_its_rule_alone(rule: str) -> None:
    name, region, mutate, instead = MUTANTS[rule]
    assert check(name, region, lambda resources: None) == []
    found = check(name, region, mutate)
    assert {finding.rule for finding in found} == {rule}
    assert instead in str(found[0])


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        ("AWS::IAM::Policy", "Write Policies in the role"),
        ("AWS::EC2::SecurityGroup", "Name one of yours"),
    ],
)
def test_what_belongs_elsewhere(kind: str, instead: str) -> None:
    (found,) = check("realtime", "us-east-2", add("More", kind))
    assert found.rule == "elsewhere"
    assert instead in found.message


def test_what_scaling_has_come_to_is_not_set_back() -> None:
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    mutate = set_in("Endpoint", "Properties.ExcludeRetainedVariantProperties", excluded)
    (found,) = check("scaled", "us-east-2", mutate)
    assert found.rule == "kept_properties"
    assert "exclude nothing of what scales" in found.message


def test_there_is_a_mutant_for_each_rule_and_no_other() -> None:
    assert MUTANTS.keys() == RULES.keys()
