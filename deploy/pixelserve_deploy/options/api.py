"""The options that describe a REST API to deploy: its name, its parameters, and one for each field of `ApiSpec`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from pixelserve_deploy.deployment import ApiSpec, make_api
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options.endpoint import add_field, read_given

NAME_OF_API = "api"
GROUPS = {
    "its images": ("gateway_image", "lambda_image", "image"),
    "its features": ("memory_mb", "instances", "most", "asynchronous", "environment"),
    "its callers": ("rate",),
    "its rights": ("permissions_boundary", "tags"),
}


def add_api(parser: argparse.ArgumentParser) -> None:
    """[NAME] [PARAMETER=VALUE …] and an option for each field; what is not given is None."""
    parser.add_argument("words", nargs="*", metavar="NAME | PARAMETER=VALUE",
                        help=f"name of the API (default: {NAME_OF_API}); parameters of the stack: APIExplorer=yes|no, "
                        "APIGatewayAuthorization=AWS_IAM|NONE, APIGatewayStageName=prod, and ImageSuperResolution, "
                        "HumanImageSegmentation, ImageSimilarity=no|yes-lambda|yes-sagemaker")  # fmt: skip
    for title, names in GROUPS.items():
        group = parser.add_argument_group(title)
        for name in names:
            add_field(group, name, ApiSpec.model_fields[name])


def read_words(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """The name and the parameters that are given. Raises UsageError."""
    names = [word for word in arguments.words if "=" not in word]
    if len(names) > 1:
        raise UsageError(f"{', '.join(names)}: name one API; parameters are PARAMETER=VALUE")
    pairs = (word.partition("=") for word in arguments.words if "=" in word)
    return (names or [NAME_OF_API])[0], {name: value for name, _, value in pairs}


def read_api(arguments: argparse.Namespace, name: str, former: Mapping[str, object]) -> ApiSpec:
    """The spec of a command line: the options that are given over what stands. Raises UsageError, SpecError."""
    given = [field for names in GROUPS.values() for field in names]
    fields = {**former, **read_given(arguments, ApiSpec, given), "name": name}
    if arguments.region:
        fields["region"] = arguments.region
    return make_api(fields)
