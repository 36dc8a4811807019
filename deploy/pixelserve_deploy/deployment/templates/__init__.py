"""CloudFormation templates as plain dicts, made from a spec and the facts of its surroundings."""

from __future__ import annotations

from pixelserve_deploy.deployment.templates.building import LARGEST_TEMPLATE, Template, build_template, render
from pixelserve_deploy.deployment.templates.endpoint import choose_update, find_instances
from pixelserve_deploy.deployment.templates.function import has_urls

__all__ = [
    "LARGEST_TEMPLATE",
    "Template",
    "build_template",
    "choose_update",
    "find_instances",
    "has_urls",
    "render",
]
