"""Services of AWS over HTTP, signed as AWS asks for, and what stands in for one without signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

from pixelserve.errors import DeadlineExceeded, Unavailable

_CONNECT_SECONDS = 5.0
_CALL_SECONDS = 70.0
"""More than SageMaker's own 60, so that it is the one that gives up."""


class Signer:
    """Signs requests to a service with AWS Signature Version 4 by botocore, with the credentials of its own chain.

    `service` is the name that they are signed for. Raises Unavailable when there are no credentials.
    """

    def __init__(self, service: str, region: str) -> None:
        import botocore.session

        self._service = service
        self._region = region
        self._session = botocore.session.get_session()
        self._credentials = self._session.get_credentials()
        if self._credentials is None:
            raise Unavailable("There are no AWS credentials. Set them as for the AWS command line.")

    def sign(self, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with Authorization, X-Amz-Date and where needed X-Amz-Security-Token."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("POST", url, data=body, headers=dict(headers))
        SigV4Auth(self._credentials.get_frozen_credentials(), self._service, self._region).add_auth(request)
        return dict(request.headers.items())


def service_url(service: str, region: str) -> str:
    """The address of a service in a region of any partition, by its name in botocore.

    AWS_ENDPOINT_URL and its like are honoured.
    """
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    session = botocore.session.get_session()
    client = session.create_client(service, region, config=Config(signature_version=UNSIGNED))
    return str(client.meta.endpoint_url)


class Service:
    """The service at `url`, through one pool of connections; requests are signed where a `signer` is given.

    `name` is what messages call it.
    """

    def __init__(self, name: str, url: str, signer: Signer | None = None) -> None:
        self.url = url.rstrip("/")
        self._name = name
        self._signer = signer
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=httpx.Timeout(_CALL_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            headers={"accept-encoding": "identity"},
        )

    @property
    def is_signed(self) -> bool:
        return self._signer is not None

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> httpx.Response | None:
        """The answer, without a signature; None where the service cannot be reached."""
        try:
            return await self._client.get(self.url + path)
        except httpx.TransportError:
            return None

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """The answer, whatever its status. Raises Unavailable, DeadlineExceeded."""
        url = self.url + path
        if self._signer is not None:
            headers = await asyncio.to_thread(self._signer.sign, url, body, headers)
        try:
            return await self._client.post(url, content=body, headers=headers)
        except httpx.ConnectError as error:
            raise Unavailable(f"{self._name} cannot be reached. Try again later.", retry_after=5) from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded("The endpoint did not answer in time. Make it a job.", retry_after=5) from error
        except httpx.TransportError as error:
            raise Unavailable(f"{self._name} closed the connection. Try again.", retry_after=1) from error
