"""Amazon ECR: the repository of an image, made on demand, and the way to log in to it."""

from __future__ import annotations

import base64
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pixelserve.errors import PixelserveError


class RegistryError(PixelserveError):
    """ECR refused; the message is its own."""

    code = "registry_error"


class Registry:
    """The ECR of one account and region, through a boto3 client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def find(self, name: str) -> str | None:
        """The repository's URI, None when there is no such repository. Raises RegistryError."""
        try:
            found = self._client.describe_repositories(repositoryNames=[name])["repositories"]
        except self._client.exceptions.RepositoryNotFoundException:
            return None
        except (ClientError, BotoCoreError) as error:
            raise RegistryError(str(error)) from None
        return str(found[0]["repositoryUri"])

    def create(self, name: str) -> str:
        """A new repository that scans what is pushed and never moves a tag; its URI. Raises RegistryError."""
        try:
            made = self._client.create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
                tags=[{"Key": "pixelserve", "Value": "true"}],
            )
        except (ClientError, BotoCoreError) as error:
            raise RegistryError(str(error)) from None
        return str(made["repository"]["repositoryUri"])

    def has(self, name: str, tag: str) -> bool:
        """Whether the repository holds the tag. Raises RegistryError."""
        try:
            self._client.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
        except self._client.exceptions.ImageNotFoundException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise RegistryError(str(error)) from None
        return True

    def login(self) -> dict[str, str]:
        """`{"username", "password"}` for the Docker Engine, valid for 12 hours. Raises RegistryError."""
        try:
            token = self._client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        except (ClientError, BotoCoreError) as error:
            raise RegistryError(str(error)) from None
        username, _, password = base64.b64decode(token).decode().partition(":")
        return {"username": username, "password": password}
