"""Rules for Lambda functions, API Gateway, and the template as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from pixelserve_deploy.deployment.rules.rule import Rule, View
from pixelserve_deploy.deployment.spec import LAMBDA_MB
from pixelserve_deploy.deployment.templates import LARGEST_TEMPLATE, has_urls, render

Found = Iterator[tuple[str, str]]


def function_memory(view: View) -> Found:
    for name, properties in view.of("AWS::Lambda::Function"):
        if properties["MemorySize"] not in LAMBDA_MB:
            yield name, f"MemorySize is {properties['MemorySize']}. Write 128 to 10240."


def function_url(view: View) -> Found:
    for name, _ in view.of("AWS::Lambda::Url"):
        if not has_urls(view.facts.region):
            yield name, f"{view.facts.region} has no function URLs. Remove it; the function is called by its name."


def signed_url(view: View) -> Found:
    for name, properties in view.of("AWS::Lambda::Url"):
        if properties.get("AuthType") != "AWS_IAM":
            yield name, "Everybody could call it at your cost. Write AuthType AWS_IAM."


def deployment_after_methods(view: View) -> Found:
    methods = {name for name, _ in view.of("AWS::ApiGateway::Method")}
    for name, _ in view.of("AWS::ApiGateway::Deployment"):
        after = view.resources[name].get("DependsOn", [])
        if not methods <= set([after] if isinstance(after, str) else after):
            yield name, "It is a copy of the methods that are there. Write DependsOn with all of them."


def size(view: View) -> Found:
    length = len(render(view.template).encode())
    if length > LARGEST_TEMPLATE:
        yield "template", f"It has {length:,} bytes; CloudFormation takes {LARGEST_TEMPLATE:,} inline. Split the stack."


RULES: tuple[Rule, ...] = (function_memory, function_url, signed_url, deployment_after_methods, size)
