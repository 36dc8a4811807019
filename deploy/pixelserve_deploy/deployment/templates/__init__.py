"""CloudFormation templates as plain dicts, made from a spec and the facts of its surroundings."""

from __future__ import annotations

from pixelserve_deploy.deployment.templates.api import build_api_template
from pixelserve_deploy.deployment.templates.api_gateway import hash_methods
from pixelserve_deploy.deployment.templates.building import LARGEST_TEMPLATE, Template, build_template, render
from pixelserve_deploy.deployment.templates.endpoint import CONFIG, choose_update, find_instances
from pixelserve_deploy.deployment.templates.expiry import find_end, keep_end
from pixelserve_deploy.deployment.templates.function import has_urls
from pixelserve_deploy.deployment.templates.model import build_model, pin_image
from pixelserve_deploy.deployment.templates.resource import (
    BUCKET_LETTERS,
    ROLE_LETTERS,
    SCHEDULE_LETTERS,
    TAG,
    begin_name,
    list_stack_tags,
    split_s3,
)
from pixelserve_deploy.deployment.templates.roles import LAMBDA, SAGEMAKER, SCHEDULER, Statement, allow
from pixelserve_deploy.deployment.templates.scaling import TARGET

__all__ = [
    "BUCKET_LETTERS",
    "CONFIG",
    "LAMBDA",
    "LARGEST_TEMPLATE",
    "ROLE_LETTERS",
    "SAGEMAKER",
    "SCHEDULER",
    "SCHEDULE_LETTERS",
    "TAG",
    "TARGET",
    "Statement",
    "Template",
    "allow",
    "begin_name",
    "build_api_template",
    "build_model",
    "build_template",
    "choose_update",
    "find_end",
    "find_instances",
    "has_urls",
    "hash_methods",
    "keep_end",
    "list_stack_tags",
    "pin_image",
    "render",
    "split_s3",
]
