"""Profiles and books that the tests of costs share."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from pixelserve_deploy.cost.pricebook import PriceBook, find_book
from pixelserve_deploy.cost.profile import UsageProfile

BOOK: PriceBook = find_book("aws-2026-11")
PROFILE = UsageProfile(
    mode="realtime",
    region="us-east-2",
    requests=Decimal(10**6),
    seconds=Decimal(1),
    request_bytes=Decimal(10**6),
    response_bytes=Decimal(4 * 10**6),
)


def profile(**changes: object) -> UsageProfile:
    """`PROFILE` with changes."""
    return replace(PROFILE, **changes)  # type: ignore[arg-type]
