"""What somebody wants deployed: one endpoint, as the command line's options or a table of `pixelserve.toml` say.

Limits are those of the SageMaker API reference (botocore's service model) and of the pages that a field names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

MOST_POOLS = 5
"""CreateEndpointConfig takes so many instance pools."""
VARIANT = "AllTraffic"
"""The one variant's name, for ever: blue/green and rolling updates demand that it stays."""


class Mode(StrEnum):
    """How an endpoint runs. A batch transform is a job, and has no stack."""

    REALTIME = "realtime"
    ASYNC = "async"
    SERVERLESS = "serverless"
    LAMBDA = "lambda"


class Update(StrEnum):
    """How an update replaces instances: all at once beside the old ones, or some after others."""

    BLUE_GREEN = "blue-green"
    ROLLING = "rolling"


class EndpointSpec(BaseModel):
    """One endpoint. Every field but the first three has a default that serves.

    Raises pydantic's ValidationError; `reading.read_spec` and the command turn it into a sentence for each field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9](-*[a-z0-9])*$")]
    """Of the endpoint: lower case, for invocations and policies keep its case."""
    mode: Mode = Mode.REALTIME
    image: str
    """URI in Amazon ECR, by digest or tag."""
    features: tuple[str, ...] = ()
    """Features of the image to serve; several are one multi-model endpoint. Empty: the handler in the image."""
    region: str = ""
    """Empty: the AWS configuration's."""
    weights: str = ""
    """`s3://BUCKET/PREFIX/` uncompressed, or `s3://…/model.tar.gz`. Empty: what is in the image."""

    instances: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_POOLS)] = ("ml.g4dn.xlarge",)
    """Instance types in order of preference; the later ones are taken where the first has no capacity."""
    count: Annotated[int, Field(ge=0)] = 1
    """Instances at least. 0 is for asynchronous endpoints."""
    most: Annotated[int, Field(ge=1)] = 1
    """Instances at most; more than `count` scales with the load."""
    concurrent: Annotated[float, Field(gt=0)] = 2.0
    """Requests in work on an instance that scaling aims at."""
    ami: str = ""
    """InferenceAmiVersion. Empty: the one that fits a CUDA image on a GPU instance."""
    memory_mb: int = 4096
    """Of a serverless endpoint or a Lambda function."""
    concurrency: Annotated[int, Field(ge=1)] = 4
    """Requests at once: of a serverless endpoint, and of each instance of an asynchronous one."""

    role: str = ""
    """ARN of the execution role. Empty: the stack makes one."""
    permissions_boundary: str = ""
    """ARN of a policy that bounds the role which the stack makes."""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    kms_key: str = ""
    """For the volumes, captured data and results."""
    network_isolation: bool = False
    tags: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the container."""

    update: Update = Update.BLUE_GREEN
    ttl_hours: Annotated[float, Field(gt=0)] | None = None
    """A schedule deletes the stack so long after the deployment."""
    output: str = ""
    """`s3://BUCKET/PREFIX/` of an asynchronous endpoint's results. Empty: a bucket of the stack's own."""
    capture: str = ""
    """`s3://BUCKET/PREFIX/` for captured requests and answers. Empty: none are captured."""
    capture_percent: Annotated[int, Field(ge=1, le=100)] = 100
    observability: bool = True
    """SageMaker reads the container's `/metrics` (detailed observability)."""

    @property
    def is_on_instances(self) -> bool:
        return self.mode in (Mode.REALTIME, Mode.ASYNC)

    @property
    def scales(self) -> bool:
        """Whether the number of instances follows the load."""
        return self.is_on_instances and self.most > self.count

    def with_image(self, image: str) -> Self:
        """The same with another image: what an update by CI changes."""
        return self.model_copy(update={"image": image})
