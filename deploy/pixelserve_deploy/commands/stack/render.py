"""Print the stack's template, for CloudFormation's console or your own tools. Nothing is asked of AWS.

The parameters given become its defaults. A feature can be switched to yes-lambda with --lambda-image, to yes-sagemaker
with --image. Endpoints and functions are called NAME-FEATURE, so each stack needs a template of its own name.
"""

from __future__ import annotations

import argparse

from pixelserve.errors import BadRequest
from pixelserve.processes import Stop
from pixelserve_deploy.deployment import Facts, Verdict, apis, build_api_template, render, set_parameters
from pixelserve_deploy.options import add_api, add_site, read_api, read_words

EXAMPLES = """\
  pixelserve stack render --gateway-image URI --lambda-image URI --image URI > api.json
  pixelserve stack render shop APIExplorer=yes APIGatewayAuthorization=NONE --gateway-image URI --lambda-image URI
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_api(parser)
    add_site(parser)


def run(arguments: argparse.Namespace, _stop: Stop) -> int:
    name, given = read_words(arguments)
    spec = read_api(arguments, name, {})
    region = spec.region or find_region(spec.gateway_image)
    parameters = set_parameters(spec, given, {})
    facts = Facts(region=region)
    failures = [check for check in apis.check_offline(spec, parameters, facts) if check.verdict is Verdict.FAILED]
    if failures:
        raise BadRequest(" ".join(f"{check.what}: {check.found}. {check.fix}".rstrip() for check in failures))
    print(render(build_api_template(spec, parameters, facts)))
    return 0


def find_region(image: str) -> str:
    """The region of an image in Amazon ECR. Raises BadRequest."""
    parts = image.partition("/")[0].split(".")
    if len(parts) < 5:
        raise BadRequest(f"{image} is no image in Amazon ECR. Write its URI as `pixelserve push` prints it.")
    return parts[3]
