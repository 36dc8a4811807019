"""CloudFormation templates as plain dicts, made from a spec and the facts of its surroundings."""

from __future__ import annotations

from pixelserve_deploy.deployment.templates.building import LARGEST_TEMPLATE, Template, build_template, render
from pixelserve_deploy.deployment.templates.endpoint import CONFIG, choose_update, find_instances
from pixelserve_deploy.deployment.templates.function import has_urls
from pixelserve_deploy.deployment.templates.model import build_model
from pixelserve_deploy.deployment.templates.resource import TAG, list_tags
from pixelserve_deploy.deployment.templates.roles import LAMBDA, SAGEMAKER, SCHEDULER, Statement, allow
from pixelserve_deploy.deployment.templates.scaling import TARGET

__all__ = [
    "CONFIG",
    "LAMBDA",
    "LARGEST_TEMPLATE",
    "SAGEMAKER",
    "SCHEDULER",
    "TAG",
    "TARGET",
    "Statement",
    "Template",
    "allow",
    "build_model",
    "build_template",
    "choose_update",
    "find_instances",
    "has_urls",
    "list_tags",
    "render",
]
