"""CloudFormation templates as plain dicts, made from a spec and the facts of its surroundings."""

from __future__ import annotations

from pixelserve_deploy.deployment.templates.building import LARGEST_TEMPLATE, Template, build_template, render

__all__ = ["LARGEST_TEMPLATE", "Template", "build_template", "render"]
