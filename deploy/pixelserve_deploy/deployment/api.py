"""What somebody wants of the REST API as a stack: the parameters that AI Solution Kit's users know, and the rest.

The parameters are the template's own, so the console changes them too; everything else is fixed when it is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from pixelserve.errors import BadRequest
from pixelserve.features import FEATURES, Feature
from pixelserve_deploy.cost import ASYNC_INSTEAD
from pixelserve_deploy.deployment.spec import INSTANCE, MOST_POOLS, STACK_PREFIX, EndpointSpec, Mode

API = "api"
"""The mode of such a stack, in its tags and metadata."""
EXPLORER, AUTHORIZATION, STAGE = "APIExplorer", "APIGatewayAuthorization", "APIGatewayStageName"
GATEWAY_MB, GATEWAY_SECONDS = 1769, 300
"""Of the gateway's function: one core; what is due in a minute may take a few."""
ASYNC_ENDING = "-async"
_ENDPOINTS = tuple(feature.endpoint for feature in FEATURES)


class Switch(StrEnum):
    """What a feature's parameter may be."""

    NO = "no"
    LAMBDA = "yes-lambda"
    SAGEMAKER = "yes-sagemaker"


class ApiSpec(BaseModel):
    """One stack of the REST API, but for its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True)

    name: Annotated[str, Field(max_length=20, pattern=r"^[a-z0-9](-*[a-z0-9])*$")]
    """Of the API. Endpoints and functions are called NAME-FEATURE. It stands in the template some hundred times."""
    gateway_image: str
    """URI in Amazon ECR of the image's target `gateway`."""
    lambda_image: str = ""
    """URI of the target `lambda`. Empty: no feature can be a function."""
    image: str = ""
    """URI of the target `server`. Empty: no feature can be an endpoint."""
    region: str = ""
    """Empty: the AWS configuration's."""
    memory_mb: int = 4096
    """Of each feature's function."""
    instances: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_POOLS)] = (INSTANCE,)
    """Of each feature's endpoint: types in order of preference."""
    most: Annotated[int, Field(ge=1)] = 1
    """Instances of each endpoint at most; more than one scales with the load."""
    asynchronous: tuple[str, ...] = ()
    """Features that also have an asynchronous endpoint for jobs, which scales to none."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the features' containers."""
    rate: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Requests a second that each method takes, twice as many at once; what comes beyond is answered 429."""
    permissions_boundary: str = ""
    """ARN of a policy that bounds the roles which the stack makes."""
    tags: dict[str, str] = Field(default_factory=dict)
    """On every resource that can have tags."""

    @property
    def mode(self) -> str:
        """What its stack's tags say, where an endpoint's say its mode."""
        return API

    @property
    def stack(self) -> str:
        """The name of its stack."""
        return STACK_PREFIX + self.name

    @property
    def gateway(self) -> EndpointSpec:
        """The gateway's function."""
        return self._member(
            "gateway", Mode.LAMBDA, image=self.gateway_image, memory_mb=GATEWAY_MB, timeout_seconds=GATEWAY_SECONDS
        )

    def function(self, feature: Feature) -> EndpointSpec | None:
        """The feature's function; None without an image for it."""
        if not self.lambda_image:
            return None
        return self._feature(feature, Mode.LAMBDA, image=self.lambda_image, memory_mb=self.memory_mb)

    def endpoint(self, feature: Feature) -> EndpointSpec | None:
        """The feature's real-time endpoint; None without an image for it."""
        if not self.image:
            return None
        return self._feature(feature, Mode.REALTIME, image=self.image, instances=self.instances, most=self.most)

    def async_endpoint(self, feature: Feature) -> EndpointSpec | None:
        """The feature's asynchronous endpoint; None where none is wanted."""
        if not self.image or feature.endpoint not in self.asynchronous:
            return None
        instances = tuple(dict.fromkeys(ASYNC_INSTEAD.get(kind, kind) for kind in self.instances))
        return self._feature(feature, Mode.ASYNC, ASYNC_ENDING, image=self.image, instances=instances, most=self.most)

    def _feature(self, feature: Feature, mode: Mode, ending: str = "", **fields: Any) -> EndpointSpec:
        fields |= {"features": (feature.endpoint,), "environment": self.environment}
        return self._member(feature.endpoint + ending, mode, **fields)

    def _member(self, part: str, mode: Mode, **fields: Any) -> EndpointSpec:
        return EndpointSpec(
            name=f"{self.name}-{part}",
            mode=mode,
            region=self.region,
            tags=self.tags,
            permissions_boundary=self.permissions_boundary,
            **fields,
        )

    def with_images(self, pinned: Mapping[str, str]) -> Self:
        """The same with its images by their digests, where `pinned` has them."""
        names = ("gateway_image", "lambda_image", "image")
        return self.model_copy(update={name: pinned.get(getattr(self, name), getattr(self, name)) for name in names})

    def list_members(self, parameters: Mapping[str, str]) -> list[EndpointSpec]:
        """The functions and endpoints that there are with these parameters, the gateway first."""
        found: list[EndpointSpec | None] = [self.gateway]
        for feature in FEATURES:
            match parameters[name_parameter(feature)]:
                case Switch.LAMBDA:
                    found.append(self.function(feature))
                case Switch.SAGEMAKER:
                    found += [self.endpoint(feature), self.async_endpoint(feature)]
        return [member for member in found if member is not None]


def name_parameter(feature: Feature) -> str:
    """The feature's parameter, as the documents have it: ImageSuperResolution."""
    return "".join(part.capitalize() for part in feature.name.split("_"))


def list_all(name: str) -> list[EndpointSpec]:
    """Every function and endpoint that an API of this name may have, the gateway first."""
    spec = ApiSpec(name=name, gateway_image="-", lambda_image="-", image="-", asynchronous=_ENDPOINTS)
    ways = (spec.function, spec.endpoint, spec.async_endpoint)
    return [spec.gateway, *(one for make in ways for one in map(make, FEATURES) if one is not None)]


def list_endpoints(name: str) -> list[str]:
    """The names of those that are on SageMaker."""
    return [member.name for member in list_all(name) if member.mode is not Mode.LAMBDA]


def list_choices(spec: ApiSpec) -> dict[str, tuple[str, ...]]:
    """The parameters and what each may be, its default first; nothing is said of a stage's name."""
    ways = [Switch.NO]
    ways += [Switch.LAMBDA] if spec.lambda_image else []
    ways += [Switch.SAGEMAKER] if spec.image else []
    features = {name_parameter(feature): tuple(map(str, ways)) for feature in FEATURES}
    return {EXPLORER: ("no", "yes"), AUTHORIZATION: ("AWS_IAM", "NONE"), STAGE: (), **features}


def set_parameters(spec: ApiSpec, given: Mapping[str, str], former: Mapping[str, str]) -> dict[str, str]:
    """All parameters: those given, those that stand, and defaults. Raises BadRequest for what none can be."""
    choices = list_choices(spec)
    unknown = given.keys() - choices.keys()
    if unknown:
        raise BadRequest(f"{', '.join(sorted(unknown))} is no parameter. Parameters: {', '.join(choices)}.")
    chosen = {}
    for name, allowed in choices.items():
        default = allowed[0] if allowed else "prod"
        value = given.get(name, former.get(name, default))
        if allowed and value not in allowed:
            raise BadRequest(f"{name} is {value!r}: write {' or '.join(allowed)}.{_explain(name, value)}")
        chosen[name] = value
    if not chosen[STAGE].replace("_", "").isalnum() or not chosen[STAGE].isascii():
        raise BadRequest(f"{STAGE} is {chosen[STAGE]!r}: write letters, digits and underscores, such as prod.")
    return chosen


def _explain(name: str, value: str) -> str:
    """Which image is missing for a way that the spec does not offer."""
    if value == Switch.LAMBDA:
        return f" {name}={value} needs --lambda-image."
    return f" {name}={value} needs --image." if value == Switch.SAGEMAKER else ""
