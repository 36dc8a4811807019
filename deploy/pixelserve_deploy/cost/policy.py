"""The three ways to reckon the same usage with the same prices."""

from __future__ import annotations

from dataclasses import dataclass

from pixelserve_deploy.cost.errors import CostError


@dataclass(frozen=True)
class Policy:
    """What is rounded and what is counted; the engine asks nothing else."""

    name: str
    rounded_per_ms: bool
    """Lambda's price per millisecond is rounded to ten decimals before it is multiplied."""
    whole_hours: bool
    """Busy hours are rounded up."""
    cents: bool
    """Each line is rounded to the cent, half up."""
    tiers: bool
    """Later tiers have their own price; otherwise the first holds for all."""
    base64: bool
    """Text in Base64 counts with its four bytes for three."""
    errata: bool
    """Amounts that the documents print wrongly are printed as they have them."""


AS_DOCUMENTED = Policy(
    "as-documented", rounded_per_ms=True, whole_hours=True, cents=True, tiers=False, base64=False, errata=True
)
DOCUMENTED_CORRECTED = Policy(
    "documented-corrected", rounded_per_ms=True, whole_hours=True, cents=True, tiers=False, base64=False, errata=False
)
EXACT = Policy("exact", rounded_per_ms=False, whole_hours=False, cents=False, tiers=True, base64=True, errata=False)
POLICIES = {policy.name: policy for policy in (AS_DOCUMENTED, DOCUMENTED_CORRECTED, EXACT)}


def find_policy(name: str) -> Policy:
    """The policy of a name, spelt with hyphens or underscores. Raises CostError listing them."""
    try:
        return POLICIES[name.replace("_", "-")]
    except KeyError:
        raise CostError(f"There is no policy {name}. Policies: {', '.join(POLICIES)}.") from None
