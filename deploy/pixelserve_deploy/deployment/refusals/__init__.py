"""What a spec cannot be, told before any call to AWS, each with what to write instead."""

from __future__ import annotations

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.refusals import fleet, links, modes, region
from pixelserve_deploy.deployment.refusals.refusal import Refusal
from pixelserve_deploy.deployment.spec import EndpointSpec

__all__ = ["Refusal", "refuse"]


def refuse(spec: EndpointSpec, facts: Facts) -> list[Refusal]:
    """Everything that is wrong with the spec there; empty when it can be deployed as far as is known."""
    no_region = list(region.check(spec, facts))
    return no_region or [found for module in (modes, links, fleet) for found in module.check(spec, facts)]
