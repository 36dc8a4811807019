"""Rules of our own over a rendered template, for what CloudFormation's schemas and cfn-lint let through.

They run before every plan, on what is about to be sent, whoever wrote it.
"""

from __future__ import annotations

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.rules import access, apis, endpoints, functions, scaling
from pixelserve_deploy.deployment.rules.rule import Finding, View
from pixelserve_deploy.deployment.templates import Template

__all__ = ["RULES", "Finding", "check_template"]

RULES = {rule.__name__: rule for module in (endpoints, scaling, access, functions, apis) for rule in module.RULES}
"""By name."""


def check_template(template: Template, facts: Facts) -> list[Finding]:
    """Everything that the rules find; empty for a template that may be sent."""
    view = View(template, facts)
    return [Finding(name, resource, message) for name, rule in RULES.items() for resource, message in rule(view)]
