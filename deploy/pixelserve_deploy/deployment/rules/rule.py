"""What a rule sees, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.resolver import refers
from pixelserve_deploy.deployment.templates import Template

Properties = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """What one rule found in one resource; the message says what to write instead."""

    rule: str
    resource: str
    message: str

    def __str__(self) -> str:
        return f"{self.resource}: {self.message} ({self.rule})"


@dataclass(frozen=True)
class View:
    """A template and where it goes."""

    template: Template
    facts: Facts

    @property
    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = self.template["Resources"]
        return found

    def of(self, *kinds: str) -> Iterator[tuple[str, Properties]]:
        """Logical ids and properties of the resources of these types."""
        for name, resource in self.resources.items():
            if resource["Type"] in kinds:
                yield name, resource.get("Properties", {})

    def variants(self) -> Iterator[tuple[str, Properties]]:
        """The same of variants of endpoint configurations."""
        for name, properties in self.of("AWS::SageMaker::EndpointConfig"):
            for variant in properties["ProductionVariants"]:
                yield name, variant

    def is_asynchronous(self, value: Any) -> bool:
        """Whether the endpoint that a value refers to is asynchronous."""
        endpoints = [one for name, one in self.of("AWS::SageMaker::Endpoint") if name in refers(value)]
        used = set().union(*(refers(one["EndpointConfigName"]) for one in endpoints))
        configs = [one for name, one in self.of("AWS::SageMaker::EndpointConfig") if name in used]
        return any("AsyncInferenceConfig" in config for config in configs)

    def is_serverless(self) -> bool:
        return any("ServerlessConfig" in variant for _, variant in self.variants())


Rule = Callable[[View], Iterator[tuple[str, str]]]
"""Gives logical ids and messages."""


def list_types(variant: Properties) -> list[str]:
    """The instance types of a variant."""
    pools = [pool["InstanceType"] for pool in variant.get("InstancePools", [])]
    return [variant["InstanceType"], *pools] if "InstanceType" in variant else pools
