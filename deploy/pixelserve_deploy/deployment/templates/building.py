"""The template of a spec."""

from __future__ import annotations

import json
from typing import Any

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.templates.alarms import build_alarms
from pixelserve_deploy.deployment.templates.asynchronous import (
    ERROR,
    SUCCESS,
    allow_asynchronous,
    build_async_config,
    build_async_scaling,
    build_asynchronous,
    locate,
)
from pixelserve_deploy.deployment.templates.endpoint import CONFIG, ENDPOINT, build_config, build_endpoint
from pixelserve_deploy.deployment.templates.expiry import add_expiry
from pixelserve_deploy.deployment.templates.function import FUNCTION, URL, build_function
from pixelserve_deploy.deployment.templates.model import MODEL, build_model
from pixelserve_deploy.deployment.templates.resource import Resource, attribute, ref
from pixelserve_deploy.deployment.templates.roles import build_execution_role
from pixelserve_deploy.deployment.templates.scaling import build_scaling

Template = dict[str, Any]
LARGEST_TEMPLATE = 51_200
"""Bytes that CreateChangeSet takes inline."""


def build_template(spec: EndpointSpec, facts: Facts) -> Template:
    """The template of one endpoint. `refusals.refuse` comes first: what it refuses makes no template that works."""
    build = _build_function if spec.mode is Mode.LAMBDA else _build_endpoint
    resources, outputs = build(spec, facts)
    hours = {} if spec.ttl_hours is None else {"hours": str(spec.ttl_hours)}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"pixelserve: {spec.name}, {spec.mode}",
        "Metadata": {"pixelserve": {"name": spec.name, "mode": str(spec.mode), **hours}},
        "Resources": add_expiry(spec, facts, resources),
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }


def _build_endpoint(spec: EndpointSpec, facts: Facts) -> tuple[dict[str, Resource], dict[str, Any]]:
    is_async = spec.mode is Mode.ASYNC
    alarms = build_alarms(spec)
    resources = {
        **build_asynchronous(spec),
        **build_execution_role(spec, allow_asynchronous(spec)),
        MODEL: build_model(spec, facts),
        CONFIG: build_config(spec, facts, build_async_config(spec) if is_async else None),
        **alarms,
        ENDPOINT: build_endpoint(spec, facts, [*alarms]),
        **(build_async_scaling(spec) if is_async else build_scaling(spec)),
    }
    outputs: dict[str, Any] = {
        "EndpointName": attribute(ENDPOINT, "EndpointName"),
        "EndpointConfigName": attribute(CONFIG, "EndpointConfigName"),
        "ModelName": attribute(MODEL, "ModelName"),
    }
    if is_async:
        outputs |= {"Requests": locate(spec, "requests/"), "SuccessTopic": ref(SUCCESS), "ErrorTopic": ref(ERROR)}
    return resources, outputs


def _build_function(spec: EndpointSpec, facts: Facts) -> tuple[dict[str, Resource], dict[str, Any]]:
    function = build_function(spec, facts)
    outputs: dict[str, Any] = {"FunctionName": ref(FUNCTION)}
    if URL in function:
        outputs["FunctionUrl"] = attribute(URL, "FunctionUrl")
    return {**build_execution_role(spec, []), **function}, outputs


def render(template: Template) -> str:
    """The text that is sent: JSON without spaces."""
    return json.dumps(template, separators=(",", ":"), ensure_ascii=False)
