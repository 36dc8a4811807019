"""The region, and whether this tool knows its partition."""

from __future__ import annotations

import re

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.refusals.refusal import Refusal, Refusals
from pixelserve_deploy.deployment.spec import EndpointSpec

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[1-9]")
OTHER_PARTITIONS = ("us-gov-", "us-iso", "eu-iso", "eusc-")
"""Beginnings of regions in partitions that nothing here was written for."""


def check(spec: EndpointSpec, facts: Facts) -> Refusals:
    """Refuses what is no region, or one of another partition than aws and aws-cn."""
    if REGION.fullmatch(facts.region) is None:
        yield Refusal("region", f"{facts.region!r} is no region. Write one such as us-east-2 or cn-northwest-1.")
    elif facts.region.startswith(OTHER_PARTITIONS):
        yield Refusal("region", f"{facts.region} is in neither aws nor aws-cn. Take a region of these.")
    elif spec.region and spec.region != facts.region:
        yield Refusal("region", f"The spec says {spec.region}, the command {facts.region}. Say the same in both.")
