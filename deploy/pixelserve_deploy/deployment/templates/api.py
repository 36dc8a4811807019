"""The template of the REST API: parameters, the gateway, and each feature as function and endpoint under conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixelserve.features import FEATURES, Feature
from pixelserve_deploy.deployment.api import (
    API,
    AUTHORIZATION,
    EXPLORER,
    STAGE,
    ApiSpec,
    Switch,
    list_choices,
    name_parameter,
)
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.deployment.templates.alarms import FAILED_SHARE, build_alarm
from pixelserve_deploy.deployment.templates.api_gateway import (
    SIGNED,
    build_gateway,
    locate,
    state_authorization,
)
from pixelserve_deploy.deployment.templates.api_store import (
    DEAD_LETTERS,
    QUEUE,
    TABLE_ID,
    TOPIC,
    build_messages,
    build_schedule,
    build_store,
)
from pixelserve_deploy.deployment.templates.asynchronous import BUCKET, ERROR, SUCCESS
from pixelserve_deploy.deployment.templates.building import Template, build_template
from pixelserve_deploy.deployment.templates.function import FUNCTION, URL, build_function
from pixelserve_deploy.deployment.templates.model import MODEL
from pixelserve_deploy.deployment.templates.nesting import nest
from pixelserve_deploy.deployment.templates.resource import Resource, arn, attribute, list_tags, ref, sub
from pixelserve_deploy.deployment.templates.roles import ROLE, Statement, allow, build_execution_role
from pixelserve_gateway.jobs import TABLE

GATEWAY = "Gateway"
GATEWAY_FUNCTION = GATEWAY + FUNCTION
OUTPUT = "aikitsInvokeURL"
"""What AI Solution Kit's users look for in the outputs; the parameter's name follows."""
LABELS = {EXPLORER: "API Explorer", AUTHORIZATION: "API Gateway Authorization", STAGE: "API Gateway Stage Name"}
SHARED = {BUCKET: BUCKET, SUCCESS: TOPIC, ERROR: TOPIC}
"""What asynchronous endpoints have of the stack, where each by itself has its own. Model and role are those of the
feature's other endpoint."""


def build_api_template(spec: ApiSpec, parameters: Mapping[str, str], facts: Facts) -> Template:
    """The template, with `parameters` as its defaults. `facts` are those of the endpoints' image."""
    features: dict[str, Resource] = {}
    for feature in FEATURES:
        features |= _build_feature(spec, feature, facts)
    resources = {
        **build_store(spec),
        **_build_gateway_function(spec, facts),
        **build_schedule(spec, GATEWAY_FUNCTION),
        **build_messages(spec, GATEWAY_FUNCTION),
        **build_gateway(spec, GATEWAY_FUNCTION),
        **_build_alarms(spec),
        **features,
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"pixelserve: the REST API {spec.name}",
        "Metadata": {
            "pixelserve": {"name": spec.name, "mode": API, "spec": spec.model_dump(mode="json", exclude_defaults=True)},
            "AWS::CloudFormation::Interface": _label(spec),
        },
        "Parameters": _build_parameters(spec, parameters),
        "Conditions": _state_conditions(spec),
        "Resources": resources,
        "Outputs": _build_outputs(),
    }


def name_short(feature: Feature) -> str:
    """The feature in logical ids: they are written so often that a long one would fill the template."""
    return "".join(part.capitalize() for part in feature.short.split("-"))


def name_function_condition(feature: Feature) -> str:
    """The condition under which the feature is a function."""
    return f"{name_short(feature)}OnLambda"


def name_endpoint_condition(feature: Feature) -> str:
    """The condition under which it is an endpoint."""
    return f"{name_short(feature)}OnSageMaker"


def _build_feature(spec: ApiSpec, feature: Feature, facts: Facts) -> dict[str, Resource]:
    """Everything that the feature may be, each under its condition."""
    name, on_sagemaker = name_short(feature), name_endpoint_condition(feature)
    found: dict[str, Resource] = {}
    if function := spec.function(feature):
        found |= nest(_build_member(spec, function, facts), f"{name}Lambda", name_function_condition(feature))
    if endpoint := spec.endpoint(feature):
        found |= nest(_build_member(spec, endpoint, facts), name, on_sagemaker)
    if async_endpoint := spec.async_endpoint(feature):
        shared = SHARED | {part: name + part for part in (MODEL, ROLE)}
        found |= nest(_build_member(spec, async_endpoint, facts), f"{name}Async", on_sagemaker, shared)
        role = found[shared[ROLE]]["Properties"]
        role["Policies"][0]["PolicyDocument"]["Statement"] += _allow_waiting()
    return found


def _build_member(spec: ApiSpec, member: EndpointSpec, facts: Facts) -> dict[str, Resource]:
    """The resources of its own template, without a URL of its own, and with the API's tags."""
    resources: dict[str, Resource] = build_template(member, facts)["Resources"]
    return {name: _own(spec, one) for name, one in resources.items() if name != URL}


def _own(spec: ApiSpec, resource: Resource) -> Resource:
    properties = resource["Properties"]
    tags = {"Tags": list_tags(spec)} if "Tags" in properties else {}
    return {**resource, "Properties": {**properties, **tags}}


def _allow_waiting() -> list[Statement]:
    """What the model's role must do besides, where the asynchronous endpoint runs it too."""
    bucket, objects = attribute(BUCKET, "Arn"), sub(f"${{{BUCKET}.Arn}}/*")
    return [
        allow(["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"], objects),
        allow(["s3:ListBucket"], bucket),
        allow(["sns:Publish"], ref(TOPIC)),
    ]


def _build_gateway_function(spec: ApiSpec, facts: Facts) -> dict[str, Resource]:
    function = build_function(spec.gateway, facts)[FUNCTION]
    function["Properties"]["Environment"] = {"Variables": _set_gateway(spec)}
    resources = {**build_execution_role(spec.gateway, _allow_gateway(spec)), FUNCTION: function}
    return nest({name: _own(spec, one) for name, one in resources.items()}, GATEWAY)


def _set_gateway(spec: ApiSpec) -> dict[str, Any]:
    """The gateway's variables: `GatewaySettings` reads them."""
    variables = {
        "PIXELSERVE_GATEWAY_TABLE": ref(TABLE_ID),
        "PIXELSERVE_GATEWAY_RESULTS": sub(f"s3://${{{BUCKET}}}/gateway"),
        "PIXELSERVE_GATEWAY_AUTHORIZATION": {"Fn::If": [SIGNED, "iam", "none"]},
        "PIXELSERVE_GATEWAY_PUBLIC_URL": locate(""),
        "PIXELSERVE_GATEWAY_PAGES": ref(EXPLORER),
        "PIXELSERVE_GATEWAY_ENDPOINTS": _join(
            _name_member(feature, spec.endpoint(feature), name_endpoint_condition(feature)) for feature in FEATURES
        ),
        "PIXELSERVE_GATEWAY_FUNCTIONS": _join(
            _name_member(feature, spec.function(feature), name_function_condition(feature)) for feature in FEATURES
        ),
    }
    if spec.asynchronous:
        variables["PIXELSERVE_GATEWAY_ASYNC_OUTPUTS"] = sub(f"s3://${{{BUCKET}}}")
        variables["PIXELSERVE_GATEWAY_ASYNC_ENDPOINTS"] = _join(
            _name_member(feature, spec.async_endpoint(feature), name_endpoint_condition(feature))
            for feature in FEATURES
        )
    return variables


def _name_member(feature: Feature, member: EndpointSpec | None, condition: str) -> Any:
    """FEATURE=NAME where there is one, else FEATURE=."""
    nothing = f"{feature.endpoint}="
    return nothing if member is None else {"Fn::If": [condition, f"{nothing}{member.name}", nothing]}


def _join(parts: Any) -> Any:
    found = list(parts)
    if all(isinstance(part, str) for part in found):
        return ",".join(found)
    return {"Fn::Join": [",", found]}


def _allow_gateway(spec: ApiSpec) -> list[Statement]:
    """What the gateway calls; the names of its features' functions and endpoints, whether they are there or not."""
    place = "${AWS::Region}:${AWS::AccountId}"
    indexes = [index["IndexName"] for index in TABLE["GlobalSecondaryIndexes"]]
    functions = [arn(f"lambda:{place}:function:{one.name}") for f in FEATURES if (one := spec.function(f))]
    endpoints = [arn(f"sagemaker:{place}:endpoint/{one.name}") for f in FEATURES if (one := spec.endpoint(f))]
    waiting = [arn(f"sagemaker:{place}:endpoint/{one.name}") for f in FEATURES if (one := spec.async_endpoint(f))]
    statements = [
        allow(
            ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"],
            attribute(TABLE_ID, "Arn"),
        ),
        allow(["dynamodb:Query"], [sub(f"${{{TABLE_ID}.Arn}}/index/{index}") for index in indexes]),
        allow(
            ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"], sub(f"${{{BUCKET}.Arn}}/*")
        ),
        allow(["s3:ListBucket"], attribute(BUCKET, "Arn")),
    ]
    if functions:
        statements.append(allow(["lambda:InvokeFunction"], functions))
    if endpoints:
        statements.append(allow(["sagemaker:InvokeEndpoint"], endpoints))
    if waiting:
        statements.append(allow(["sagemaker:InvokeEndpointAsync"], waiting))
        receive = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
        statements.append(allow(receive, attribute(QUEUE, "Arn")))
    return statements


def _build_alarms(spec: ApiSpec) -> dict[str, Resource]:
    """On the API, the gateway, and messages that were given up. They tell in the console; nobody is sent anything."""
    alarms = {
        "ApiAlarm": build_alarm(
            spec,
            "More than 5 % of the API's answers are 5xx.",
            Namespace="AWS/ApiGateway",
            MetricName="5XXError",
            Statistic="Average",
            Threshold=FAILED_SHARE,
            Dimensions=[{"Name": "ApiName", "Value": spec.stack}],
        ),
        "GatewayAlarm": build_alarm(
            spec,
            "The gateway's function fails.",
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Statistic="Sum",
            Threshold=0,
            Dimensions=[{"Name": "FunctionName", "Value": spec.gateway.name}],
        ),
    }
    if spec.asynchronous:
        alarms["DeadLettersAlarm"] = build_alarm(
            spec,
            "The gateway could not take messages that tell of asynchronous calls.",
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Statistic="Maximum",
            Threshold=0,
            Dimensions=[{"Name": "QueueName", "Value": attribute(DEAD_LETTERS, "QueueName")}],
        )
    return alarms


def _build_parameters(spec: ApiSpec, chosen: Mapping[str, str]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for name, allowed in list_choices(spec).items():
        limits: dict[str, Any] = {"AllowedValues": [*allowed]} if allowed else {"AllowedPattern": "[A-Za-z0-9_]+"}
        parameters[name] = {"Type": "String", "Default": chosen[name], **limits}
    return parameters


def _label(spec: ApiSpec) -> dict[str, Any]:
    """How the console shows the parameters: ids are alphanumeric, the documents' names are not."""
    labels = LABELS | {name_parameter(feature): feature.name.replace("_", " ").title() for feature in FEATURES}
    return {
        "ParameterGroups": [{"Label": {"default": "AI Solution Kit"}, "Parameters": [*list_choices(spec)]}],
        "ParameterLabels": {name: {"default": label} for name, label in labels.items()},
    }


def _state_conditions(spec: ApiSpec) -> dict[str, Any]:
    conditions = {**state_authorization(), "HasExplorer": {"Fn::Equals": [ref(EXPLORER), "yes"]}}
    for feature in FEATURES:
        name = name_parameter(feature)
        conditions[f"Has{name}"] = {"Fn::Not": [{"Fn::Equals": [ref(name), Switch.NO]}]}
        if spec.function(feature):
            conditions[name_function_condition(feature)] = {"Fn::Equals": [ref(name), Switch.LAMBDA]}
        if spec.endpoint(feature):
            conditions[name_endpoint_condition(feature)] = {"Fn::Equals": [ref(name), Switch.SAGEMAKER]}
    return conditions


def _build_outputs() -> dict[str, Any]:
    outputs: dict[str, Any] = {
        OUTPUT + name_parameter(feature): {
            "Condition": f"Has{name_parameter(feature)}",
            "Description": feature.title,
            "Value": locate(f"/{feature.name}"),
        }
        for feature in FEATURES
    }
    outputs[EXPLORER] = {"Condition": "HasExplorer", "Description": "API Explorer", "Value": locate("/explorer")}
    return {**outputs, "Table": {"Value": ref(TABLE_ID)}, "Bucket": {"Value": ref(BUCKET)}}
