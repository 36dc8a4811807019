"""Clients of services, by the region and profile that a command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixelserve.errors import BadRequest

if TYPE_CHECKING:
    from botocore.config import Config


def make_client(service: str, region: str | None, profile: str | None, config: Config | None = None) -> Any:
    """boto3's client; None leaves region and profile to the AWS configuration. Raises BadRequest without them."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        return session.client(service, config=config)
    except BotoCoreError as error:
        raise BadRequest(f"{error} Give --region and --profile, or configure them.") from None
