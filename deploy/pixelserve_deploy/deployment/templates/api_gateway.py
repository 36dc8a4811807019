"""API Gateway before the gateway's function: one greedy path, what browsers open without a signature, and the stage.

A Deployment is a frozen copy of the methods. There is one for each authorization, so that changing the parameter moves
the stage to another copy, and what they hold is hashed into their names, so that changed methods are copied anew.

Answers are buffered, so they have 10 MB and 29 s: the runtime of the gateway's function does not stream, which
ResponseTransferMode STREAM would need.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pixelserve_deploy.deployment.api import AUTHORIZATION, STAGE, ApiSpec
from pixelserve_deploy.deployment.templates.resource import Resource, arn, attribute, ref, sub, tagged, untagged

API, STAGE_ID, PERMISSION = "Api", "Stage", "ApiPermission"
SIGNED = "IsSigned"
"""The condition of APIGatewayAuthorization AWS_IAM."""
OPEN = "IsOpen"
RESOURCE, METHOD = "AWS::ApiGateway::Resource", "AWS::ApiGateway::Method"
PATHS = {
    "Proxy": ("{proxy+}", ""),
    "Explorer": ("explorer", ""),
    "Description": ("openapi.json", ""),
    "Page": ("page", ""),
    "PageFile": ("{proxy+}", "Page"),
    "Results": ("results", ""),
    "Result": ("{proxy+}", "Results"),
}
"""Resources by id: the part of the path, and the resource above it."""
UNSIGNED = ("Explorer", "Description", "PageFile", "Result")
"""Opened by browsers, which sign nothing: pages, and links to results, which hold a signature of our own."""


def build_gateway(spec: ApiSpec, function: str) -> dict[str, Resource]:
    """All of it; `function` is the logical id of the gateway's function."""
    api = {
        API: tagged(
            spec,
            "AWS::ApiGateway::RestApi",
            {
                "Name": spec.stack,
                "BinaryMediaTypes": ["*/*"],
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
            },
        )
    }
    paths = {name: _build_path(part, above) for name, (part, above) in PATHS.items()}
    methods = dict(_build_methods(function))
    copied = hash_methods({**api, **paths, **methods})
    deployments = {
        f"OpenDeployment{copied}": _build_deployment(OPEN, methods),
        f"SignedDeployment{copied}": _build_deployment(SIGNED, methods),
    }
    opened, signed = map(ref, deployments)
    stage = {
        "RestApiId": ref(API),
        "StageName": ref(STAGE),
        "DeploymentId": {"Fn::If": [SIGNED, signed, opened]},
        "MethodSettings": [
            {
                "ResourcePath": "/*",
                "HttpMethod": "*",
                "ThrottlingRateLimit": spec.rate,
                "ThrottlingBurstLimit": 2 * spec.rate,
            }
        ],
    }
    permission = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": ref(function),
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": arn(f"execute-api:${{AWS::Region}}:${{AWS::AccountId}}:${{{API}}}/*"),
    }
    return {
        **api,
        **paths,
        **methods,
        **deployments,
        STAGE_ID: tagged(spec, "AWS::ApiGateway::Stage", stage),
        PERMISSION: untagged("AWS::Lambda::Permission", permission),
    }


def hash_methods(resources: dict[str, Resource]) -> str:
    """Eight hexadecimal digits of what a Deployment copies: paths and methods, without tags."""
    copied = {name: one for name, one in resources.items() if one["Type"] in (RESOURCE, METHOD)}
    return hashlib.sha256(json.dumps(copied, sort_keys=True).encode()).hexdigest()[:8]


def _build_path(part: str, above: str) -> Resource:
    parent = ref(above) if above else attribute(API, "RootResourceId")
    return untagged(RESOURCE, {"RestApiId": ref(API), "ParentId": parent, "PathPart": part})


def _build_methods(function: str) -> Iterator[tuple[str, Resource]]:
    """Preflights of browsers carry no signature either, so OPTIONS is open everywhere."""
    asked = {"Fn::If": [SIGNED, "AWS_IAM", "NONE"]}
    root = attribute(API, "RootResourceId")
    for name, place in (("Root", root), ("Proxy", ref("Proxy"))):
        yield f"{name}Method", _build_method(function, place, "ANY", asked)
        yield f"{name}Options", _build_method(function, place, "OPTIONS", "NONE")
    yield "RootPage", _build_method(function, root, "GET", "NONE")
    for name in UNSIGNED:
        yield f"{name}Method", _build_method(function, ref(name), "GET", "NONE")


def _build_method(function: str, place: Any, verb: str, authorization: Any) -> Resource:
    target = "lambda:path/2015-03-31/functions/${" + function + ".Arn}/invocations"
    integration = {
        "Type": "AWS_PROXY",
        "IntegrationHttpMethod": "POST",
        "Uri": sub("arn:${AWS::Partition}:apigateway:${AWS::Region}:" + target),
    }
    properties = {
        "RestApiId": ref(API),
        "ResourceId": place,
        "HttpMethod": verb,
        "AuthorizationType": authorization,
        "Integration": integration,
    }
    return untagged(METHOD, properties)


def _build_deployment(condition: str, methods: dict[str, Resource]) -> Resource:
    return untagged("AWS::ApiGateway::Deployment", {"RestApiId": ref(API)}, Condition=condition, DependsOn=[*methods])


def state_authorization() -> dict[str, Any]:
    """The conditions."""
    signed = {"Fn::Equals": [ref(AUTHORIZATION), "AWS_IAM"]}
    return {SIGNED: signed, OPEN: {"Fn::Not": [{"Condition": SIGNED}]}}


def locate(path: str) -> Any:
    """The URL of a path below the stage."""
    return sub(f"https://${{{API}}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/${{{STAGE}}}{path}")
