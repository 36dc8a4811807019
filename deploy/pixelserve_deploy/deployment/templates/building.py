"""The template of a spec."""

from __future__ import annotations

import json
from typing import Any

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.spec import EndpointSpec
from pixelserve_deploy.deployment.templates.alarms import build_alarms
from pixelserve_deploy.deployment.templates.endpoint import (
    CONFIG,
    ENDPOINT,
    MODEL,
    build_config,
    build_endpoint,
    build_model,
)
from pixelserve_deploy.deployment.templates.resource import Resource, attribute
from pixelserve_deploy.deployment.templates.roles import build_execution_role
from pixelserve_deploy.deployment.templates.scaling import build_scaling

Template = dict[str, Any]
LARGEST_TEMPLATE = 51_200
"""Bytes that CreateChangeSet takes inline."""


def build_template(spec: EndpointSpec, facts: Facts) -> Template:
    """The template of one endpoint. The spec has been refused by nobody: `refusals.refuse` comes first."""
    resources, outputs = _build_endpoint(spec, facts)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"pixelserve: endpoint {spec.name}, {spec.mode}",
        "Metadata": {"pixelserve": {"mode": str(spec.mode)}},
        "Resources": resources,
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }


def _build_endpoint(spec: EndpointSpec, facts: Facts) -> tuple[dict[str, Resource], dict[str, Any]]:
    alarms = build_alarms(spec)
    resources = {
        **build_execution_role(spec),
        MODEL: build_model(spec, facts),
        CONFIG: build_config(spec, facts),
        **alarms,
        ENDPOINT: build_endpoint(spec, facts, [*alarms]),
        **build_scaling(spec),
    }
    outputs = {
        "EndpointName": attribute(ENDPOINT, "EndpointName"),
        "EndpointConfigName": attribute(CONFIG, "EndpointConfigName"),
        "ModelName": attribute(MODEL, "ModelName"),
    }
    return resources, outputs


def render(template: Template) -> str:
    """The text that is sent: JSON without spaces."""
    return json.dumps(template, separators=(",", ":"), ensure_ascii=False)
