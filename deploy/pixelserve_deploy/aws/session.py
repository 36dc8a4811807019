"""Clients of services, by the region and profile that a command line names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pixelserve.errors import BadRequest, PixelserveError
from pixelserve_deploy.aws.partition import find_partition

if TYPE_CHECKING:
    from botocore.config import Config

TRIES = 8
"""Of a call that is throttled or breaks off, with growing pauses: botocore's standard retry mode."""
CONNECT_SECONDS, READ_SECONDS = 10, 60
EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException"}
)
"""Error codes of credentials that are no longer good (IAM User Guide, common errors)."""
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})

ADVICE = {
    "NoCredentialsError": ". Give --profile NAME, or run `aws configure` or `aws sso login`.",
    "EndpointConnectionError": ". Is the region right, and is AWS in reach?",
}
"""What helps against what botocore says."""


class AwsError(PixelserveError):
    """A call that AWS refused or that never reached it. `reason` is AWS's error code, or botocore's class."""

    code = "aws_error"

    def __init__(self, operation: str, reason: str, message: str) -> None:
        super().__init__(f"{operation}: {message}")
        self.operation = operation
        self.reason = reason

    @property
    def is_expired(self) -> bool:
        """Whether new credentials are all that is missing."""
        return self.reason in EXPIRED or self.reason in ("TokenRetrievalError", "SSOTokenLoadError")

    @property
    def is_denied(self) -> bool:
        return self.reason in DENIED


class Client:
    """boto3's client of one service; its operations raise AwsError."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self._client, operation)

        def call(**parameters: Any) -> Any:
            from boto3.exceptions import Boto3Error
            from botocore.exceptions import BotoCoreError, ClientError
            from botocore.parsers import ResponseParserError

            try:
                return method(**parameters)
            except ClientError as error:
                told = error.response["Error"]
                raise AwsError(error.operation_name, told["Code"], told.get("Message") or told["Code"]) from None
            except (
                BotoCoreError,
                Boto3Error,
                ResponseParserError,
            ) as error:  # the last is a proxy's page, for instance
                name, reason = self._client.meta.method_to_api_mapping.get(operation, operation), type(error).__name__
                raise AwsError(name, reason, f"{error}{ADVICE.get(reason, '')}") from None

        return call

    def pages(
        self, operation: str, token: str = "NextToken", sent_as: str | None = None, **parameters: Any
    ) -> Iterator[Any]:
        """The answers of an operation that gives them in pages; `sent_as` where it takes its token by another name."""
        call = getattr(self, operation)
        page = call(**parameters)
        yield page
        while page.get(token):
            page = call(**parameters, **{sent_as or token: page[token]})
            yield page


class Session:
    """The clients of one region and profile, each made once; None leaves them to the AWS configuration.

    Raises BadRequest without a region, or for a profile that is not there.
    """

    def __init__(self, region: str | None = None, profile: str | None = None) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError

        try:
            self._session = boto3.Session(profile_name=profile, region_name=region)
        except BotoCoreError as error:
            raise BadRequest(f"{error}. `aws configure list-profiles` lists those that are there.") from None
        if not self._session.region_name:
            raise BadRequest("No region is given or configured. Give --region, e.g. --region us-east-2.")
        self.region = str(self._session.region_name)
        self.partition = find_partition(self.region)
        self._clients: dict[tuple[str, int], Client] = {}

    def client(self, service: str, tries: int = TRIES) -> Client:
        """The client of a service; each of its calls is made so many times at most."""
        if (service, tries) not in self._clients:
            from botocore.config import Config

            config = Config(
                retries={"mode": "standard", "total_max_attempts": tries},
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
            )
            self._clients[service, tries] = Client(self._session.client(service, config=config))
        return self._clients[service, tries]


def make_client(service: str, region: str | None, profile: str | None, config: Config | None = None) -> Any:
    """boto3's client; None leaves region and profile to the AWS configuration. Raises BadRequest without them."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        return session.client(service, config=config)
    except BotoCoreError as error:
        raise BadRequest(f"{error} Give --region and --profile, or configure them.") from None
