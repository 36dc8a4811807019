"""What is known of the surroundings of a deployment: found by `preflight`, or nothing more than the region offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pixelserve_deploy.aws import find_partition


@dataclass(frozen=True)
class Facts:
    """None, and an empty text, is what is not known; nothing is refused for that."""

    region: str
    account: str = ""
    """The account of the credentials."""
    digest: str = ""
    """`sha256:…` of the image that the spec names."""
    cuda: str | None = None
    """Version of CUDA in the image, `12.8`; an empty text is an image for CPUs."""
    offered: frozenset[str] | None = None
    """Instance types that the region has for the mode."""
    quotas: Mapping[str, int] = field(default_factory=dict)
    """Instances that the account may have for endpoints, by type."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    """From when an endpoint's hours to live count."""

    @property
    def partition(self) -> str:
        return find_partition(self.region)
