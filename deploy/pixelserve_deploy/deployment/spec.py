"""What somebody wants deployed: one endpoint, as the command line's options or a table of `pixelserve.toml` say.

Limits of single fields are those of the SageMaker API reference (botocore's service model) and of the pages that a
field names; what fields may not be together, or in a region, is in `refusals`. `reading.make_spec` phrases errors.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pixelserve_deploy.cost import ASYNC_INSTEAD

MOST_POOLS = 5
"""CreateEndpointConfig takes so many instance pools."""
VARIANT = "AllTraffic"
"""The one variant's name, for ever: blue/green and rolling updates demand that it stays."""
SERVERLESS_MB = range(1024, 6145, 1024)
"""Memory of a serverless endpoint."""
LAMBDA_MB = range(128, 10241)
"""Memory of a Lambda function."""
STACK_PREFIX = "pixelserve-"
BATCH_PERCENT = 50
"""Of the instances, in one step of a rolling update; SageMaker takes no more."""
INSTANCE = "ml.g4dn.xlarge"
CONCURRENCY = 4
"""Requests at once where SageMaker demands a number and the spec has none."""


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
    """One endpoint. Every field but `name` and `image` has a default that serves."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9](-*[a-z0-9])*$")]
    """Of the endpoint: lower case, for invocations and policies keep its case."""
    mode: Mode = Mode.REALTIME
    """How it runs. It stays: another mode takes another name."""
    image: str
    """URI in Amazon ECR, by digest or tag."""
    features: tuple[str, ...] = ()
    """Features to serve. One is set as the image's feature; several are a multi-model endpoint, with
    `FEATURE.tar.gz` for each of them below `weights`. Empty: the handler in the image."""
    region: str = ""
    """Empty: the AWS configuration's."""
    weights: str = ""
    """`s3://BUCKET/PREFIX/` uncompressed, or `s3://…/model.tar.gz`. Empty: what is in the image."""

    instances: Annotated[
        tuple[str, ...], Field(min_length=1, max_length=MOST_POOLS, default_factory=lambda data: choose_instances(data))
    ]
    """Instance types in order of preference; the later ones are taken where the first has no capacity.
    Empty: ml.g4dn.xlarge, and ml.g4dn.2xlarge for an asynchronous endpoint."""
    count: Annotated[int, Field(ge=0)] | None = None
    """Instances at least. Empty: 0 of an asynchronous endpoint, else 1."""
    most: Annotated[int, Field(ge=1)] | None = None
    """Instances at most; more than `count` scales with the load. Empty: as many as `count`, and 1 at least."""
    concurrent: Annotated[float, Field(gt=0)] = 2.0
    """Requests for an instance that scaling aims at: in work, or waiting for an asynchronous endpoint."""
    ami: str = ""
    """InferenceAmiVersion. Empty: the one that fits a CUDA image on a GPU instance."""
    memory_mb: int = 4096
    """Of a serverless endpoint or a Lambda function."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """Requests at once: of a serverless endpoint (empty: 4), of each instance of an asynchronous one (empty: 4), of a
    Lambda function (empty: as many as the account allows)."""
    timeout_seconds: Annotated[int, Field(ge=1, le=900)] = 60
    """Of a call of a Lambda function."""
    start_seconds: Annotated[int, Field(ge=60, le=3600)] = 300
    """In which the container must pass its health check; after it a deployment fails and costs no more."""

    role: str = ""
    """ARN of the execution role. Empty: the stack makes one."""
    permissions_boundary: str = ""
    """ARN of a policy that bounds the roles which the stack makes."""
    subnets: tuple[str, ...] = ()
    """IDs of subnets for the containers. Empty: no VPC."""
    security_groups: tuple[str, ...] = ()
    """IDs of security groups; they and the subnets stay outside the stack."""
    kms_key: str = ""
    """ARN of a key for the volumes, captured data and results. Disks of an instance's own, as ml.g4dn has, are
    encrypted by its hardware."""
    network_isolation: bool = False
    """Whether the containers can call nobody. A request's `url` is then refused."""
    tags: dict[str, str] = Field(default_factory=dict)
    """On every resource that can have tags."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the container."""

    update: Update | None = None
    """How an update replaces instances. Empty: blue/green, or rolling where the quota does not allow double."""
    ttl_hours: Annotated[float, Field(ge=0.5, le=8760)] | None = None
    """A schedule deletes the stack so long after the last deployment that changed anything."""
    ttl_role: str = ""
    """ARN of the role with which it does. Empty: the stack makes one."""
    output: str = ""
    """`s3://BUCKET/PREFIX/` of an asynchronous endpoint's results. Empty: a bucket of the stack's own."""
    capture: str = ""
    """`s3://BUCKET/PREFIX/` for captured requests and answers. Empty: none are captured."""
    capture_percent: Annotated[int, Field(ge=1, le=100)] = 100
    """Of the requests."""
    observability: bool = True
    """SageMaker reads the container's `/metrics` (detailed observability)."""

    @property
    def stack(self) -> str:
        """The name of its stack."""
        return STACK_PREFIX + self.name

    @property
    def is_on_instances(self) -> bool:
        return self.mode in (Mode.REALTIME, Mode.ASYNC)

    @property
    def is_multi_model(self) -> bool:
        return len(self.features) > 1

    @property
    def least(self) -> int:
        """Instances at least."""
        if self.count is None:
            return 0 if self.mode is Mode.ASYNC else 1
        return self.count

    @property
    def greatest(self) -> int:
        """Instances at most."""
        return max(self.least, 1) if self.most is None else self.most

    @property
    def calls_at_once(self) -> int | None:
        """`concurrency`, or what stands for it; None where nothing bounds it."""
        return self.concurrency if self.concurrency or self.mode is Mode.LAMBDA else CONCURRENCY

    @property
    def scales(self) -> bool:
        """Whether the number of instances follows the load."""
        return self.is_on_instances and self.greatest > self.least


def choose_instances(fields: dict[str, Any]) -> tuple[str, ...]:
    """The default for a mode: the instance that the documents price, or the next where that is not offered."""
    is_async = fields.get("mode") is Mode.ASYNC
    return (ASYNC_INSTEAD[INSTANCE] if is_async else INSTANCE,)


def has_gpu(instance: str) -> bool:
    """Whether an instance type has an NVIDIA GPU: ml.g… and ml.p…, as AWS names them."""
    return instance.startswith(("ml.g", "ml.p"))


def count_in_update(update: Update, instances: int) -> int:
    """How many instances there are while so many are updated."""
    return 2 * instances if update is Update.BLUE_GREEN else instances + math.ceil(instances * BATCH_PERCENT / 100)
