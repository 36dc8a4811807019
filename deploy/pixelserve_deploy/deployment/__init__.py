"""Endpoints on AWS as CloudFormation stacks: what is wanted, templates, plan, stacks, and what is there.

Loaded on demand, for `--help` needs none of it.
"""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve_deploy.deployment.facts import Facts
    from pixelserve_deploy.deployment.notes import list_notes
    from pixelserve_deploy.deployment.pricing import Cost, price_endpoint
    from pixelserve_deploy.deployment.reading import FILE, SpecError, format_specs, make_spec, parse_specs, read_specs
    from pixelserve_deploy.deployment.refusals import Refusal, refuse
    from pixelserve_deploy.deployment.resolver import Action, Change, resolve
    from pixelserve_deploy.deployment.rules import Finding, check_template
    from pixelserve_deploy.deployment.spec import EndpointSpec, Mode, Update
    from pixelserve_deploy.deployment.steps import split_update, why_not_in_place
    from pixelserve_deploy.deployment.templates import build_template, render
else:
    __getattr__ = exports(
        __name__,
        {
            ".facts": "Facts",
            ".notes": "list_notes",
            ".pricing": "Cost price_endpoint",
            ".reading": "FILE SpecError format_specs make_spec parse_specs read_specs",
            ".refusals": "Refusal refuse",
            ".resolver": "Action Change resolve",
            ".rules": "Finding check_template",
            ".spec": "EndpointSpec Mode Update",
            ".steps": "split_update why_not_in_place",
            ".templates": "build_template render",
        },
    )

__all__ = [
    "FILE",
    "Action",
    "Change",
    "Cost",
    "EndpointSpec",
    "Facts",
    "Finding",
    "Mode",
    "Refusal",
    "SpecError",
    "Update",
    "build_template",
    "check_template",
    "format_specs",
    "list_notes",
    "make_spec",
    "parse_specs",
    "price_endpoint",
    "read_specs",
    "refuse",
    "render",
    "resolve",
    "split_update",
    "why_not_in_place",
]
