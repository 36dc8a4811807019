"""Names of things elsewhere: the image, ARNs, places in S3, subnets, tags and variables."""

from __future__ import annotations

import re

from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.refusals.refusal import Refusal, Refusals
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode

IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>amazonaws\.com(?:\.cn)?)/"
    r"(?P<repository>[a-z0-9]+(?:[._/-][a-z0-9]+)*)(?P<version>:[\w.-]{1,128}|@sha256:[0-9a-f]{64})"
)
ARN = re.compile(r"arn:(?P<partition>[\w-]+):(?P<service>\w+):(?P<region>[\w-]*):(?P<account>\d{12}):(?P<rest>.+)")
S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s$*?{}]*")
"""Keys without what policies and templates give a meaning of their own."""
ARNS = {
    "role": ("iam", "role/", "arn:{partition}:iam::ACCOUNT:role/NAME"),
    "ttl_role": ("iam", "role/", "arn:{partition}:iam::ACCOUNT:role/NAME"),
    "permissions_boundary": ("iam", "policy/", "arn:{partition}:iam::ACCOUNT:policy/NAME"),
    "kms_key": ("kms", "key/", "arn:{partition}:kms:{region}:ACCOUNT:key/ID"),
}
"""Service, beginning of what it names, and how one is written."""
DOMAINS = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
MOST_TAGS = 48
"""50 less ours."""
TAG = re.compile(r"[\w\s.:/=+@-]*")
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,1023}")
MOST_VARIABLES, LONGEST_VALUE, LAMBDA_BYTES = 100, 1024, 4096
MOST_SUBNETS, MOST_GROUPS = 16, 5


def check(spec: EndpointSpec, facts: Facts) -> Refusals:
    """Refuses what names nothing, or something in another place."""
    yield from _check_image(spec, facts)
    for field in ARNS:
        if value := getattr(spec, field):
            yield from _check_arn(field, value, facts)
    if spec.permissions_boundary and spec.role and (spec.ttl_hours is None or spec.ttl_role):
        yield Refusal("permissions_boundary", "With `role` the stack makes no role to bound. Remove one of the two.")
    yield from _check_places(spec)
    yield from _check_network(spec)
    yield from _check_tags(spec)
    yield from _check_variables(spec)


def _check_image(spec: EndpointSpec, facts: Facts) -> Refusals:
    found = IMAGE.fullmatch(spec.image)
    if found is None:
        yield Refusal(
            "image",
            f"{spec.image} is no image in Amazon ECR with a tag or digest. Write ACCOUNT.dkr.ecr.{facts.region}."
            f"{DOMAINS[facts.partition]}/NAME:TAG, as `pixelserve push` prints it.",
        )
    elif found["domain"] != DOMAINS[facts.partition]:
        yield Refusal(
            "image", f"{facts.region} pulls from {DOMAINS[facts.partition]}, not {found['domain']}. Push it there."
        )
    elif found["region"] != facts.region:
        yield Refusal(
            "image",
            f"The image is in {found['region']}, the endpoint in {facts.region}. "
            f"Push it there: pixelserve push --region {facts.region}.",
        )


def _check_arn(field: str, value: str, facts: Facts) -> Refusals:
    service, beginning, form = ARNS[field]
    form = form.format(partition=facts.partition, region=facts.region)
    found = ARN.fullmatch(value)
    if found is None or found["service"] != service or not found["rest"].startswith(beginning):
        yield Refusal(field, f"{value} is no ARN of this kind. Write {form}.")
    elif found["partition"] != facts.partition:
        yield Refusal(field, f"{facts.region} is in the partition {facts.partition}, not {found['partition']}. "
                             f"Write {form}.")  # fmt: skip
    elif found["region"] not in ("", facts.region):
        yield Refusal(field, f"It is in {found['region']}, the endpoint in {facts.region}. Take one of {facts.region}.")
    elif field in ("role", "ttl_role") and facts.account and found["account"] != facts.account:
        yield Refusal(field, f"It is of the account {found['account']}, and the credentials are of {facts.account}. "
                             "A role cannot be passed to another account: take one of this.")  # fmt: skip


def _check_places(spec: EndpointSpec) -> Refusals:
    for field in ("weights", "output", "capture"):
        value = getattr(spec, field)
        if value and S3.fullmatch(value) is None:
            yield Refusal(
                field,
                f"{value} is no place in S3. Write s3://BUCKET/PREFIX/: a bucket's name has 3 to 63 lower-case "
                "letters, digits, dots and hyphens, a prefix neither spaces nor wildcards.",
            )
        elif value and field != "weights" and not value.endswith("/"):
            yield Refusal(field, f"{value} is no prefix: it must end in a slash. Write {value}/.")
    if spec.weights and not spec.weights.endswith(("/", ".tar.gz")):
        yield Refusal("weights", f"{spec.weights} is neither a prefix nor an archive. Write {spec.weights}/ for a "
                                 "prefix, or the name of a .tar.gz.")  # fmt: skip


def _check_network(spec: EndpointSpec) -> Refusals:
    for field, other in (("subnets", "security_groups"), ("security_groups", "subnets")):
        if getattr(spec, field) and not getattr(spec, other):
            yield Refusal(other, f"`{field}` needs them. Name at least one; the stack makes none of its own.")
    for field, beginning, most in (("subnets", "subnet-", MOST_SUBNETS), ("security_groups", "sg-", MOST_GROUPS)):
        ids = getattr(spec, field)
        if wrong := [one for one in ids if not re.fullmatch(f"{beginning}[0-9a-f]{{8,17}}", one)]:
            yield Refusal(field, f"{wrong[0]} is no ID. Write such as {beginning}0123456789abcdef0.")
        if len(ids) > most:
            yield Refusal(field, f"{len(ids)} are more than SageMaker's {most}. Name fewer.")
    fetching = [name for name in spec.environment if name.startswith(("PIXELSERVE_FETCH", "PIXELSERVE_S3_"))]
    if spec.network_isolation and fetching:
        yield Refusal(
            "network_isolation",
            f"An isolated container fetches no `url` of a request, so {fetching[0]} means nothing. Remove it and send "
            "images in the request; or use `subnets` in place of isolation.",
        )


def _check_tags(spec: EndpointSpec) -> Refusals:
    for key, value in spec.tags.items():
        if key.lower().startswith(("aws:", "pixelserve")):
            yield Refusal("tags", f"{key} is not yours to set. Begin with something other than aws: and pixelserve.")
        elif not (1 <= len(key) <= 128 and len(value) <= 256 and TAG.fullmatch(key) and TAG.fullmatch(value)):
            yield Refusal(
                "tags",
                f"{key[:40]!r} is no tag. Write up to 128 letters, digits, spaces and _.:/=+-@, for the value 256.",
            )
    if len(spec.tags) > MOST_TAGS:
        yield Refusal("tags", f"{len(spec.tags)} are more than the {MOST_TAGS} that a resource takes beside ours.")


def _check_variables(spec: EndpointSpec) -> Refusals:
    for key, value in spec.environment.items():
        if not VARIABLE.fullmatch(key):
            yield Refusal("environment", f"{key[:40]!r} is no variable. Write letters, digits and _, no digit first.")
        elif spec.mode is Mode.LAMBDA and key.startswith(("AWS_", "LAMBDA_")):
            yield Refusal("environment", f"Lambda sets {key} itself. Remove it.")
        elif spec.mode is not Mode.LAMBDA and len(value) > LONGEST_VALUE:
            yield Refusal("environment", f"{key} has {len(value)} characters. SageMaker takes {LONGEST_VALUE}.")
    if spec.mode is not Mode.LAMBDA and len(spec.environment) > MOST_VARIABLES:
        yield Refusal("environment", f"{len(spec.environment)} are more than SageMaker's {MOST_VARIABLES}.")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in spec.environment.items())
    if spec.mode is Mode.LAMBDA and size > LAMBDA_BYTES:
        yield Refusal("environment", f"Together they have {size} bytes. Lambda takes {LAMBDA_BYTES}.")
