"""Rules for the REST API: its Deployments are frozen copies, which CloudFormation does not make anew by itself."""

from __future__ import annotations

from collections.abc import Iterator

from pixelserve_deploy.deployment.conditions import choose
from pixelserve_deploy.deployment.resolver import refers
from pixelserve_deploy.deployment.rules.rule import Rule, View
from pixelserve_deploy.deployment.templates import hash_methods

Found = Iterator[tuple[str, str]]
DEPLOYMENT, STAGE = "AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"


def deployment_name(view: View) -> Found:
    copied = hash_methods(view.resources)
    for name, _ in view.of(DEPLOYMENT):
        if not name.endswith(copied):
            yield name, f"Under this name it stays a copy of other methods. End its logical id with {copied}."


def deployment_choice(view: View) -> Found:
    """A parameter that changes methods, such as APIGatewayAuthorization, must move the stage to another Deployment."""
    parameters = view.template.get("Parameters", {})
    defaults = {name: one["Default"] for name, one in parameters.items()}
    for parameter, one in parameters.items():
        for name, _ in view.of(STAGE):
            copies: dict[frozenset[str], str] = {}
            for value in one.get("AllowedValues", ()):
                resources = choose(view.template, {**defaults, parameter: value})["Resources"]
                used = frozenset(refers(resources[name]["Properties"]["DeploymentId"]))
                if copies.setdefault(used, copied := hash_methods(resources)) != copied:
                    yield name, f"{parameter} changes methods, and the copy stays. Write an Fn::If of two Deployments."


RULES: tuple[Rule, ...] = (deployment_name, deployment_choice)
