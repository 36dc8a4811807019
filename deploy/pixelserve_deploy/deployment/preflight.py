"""What is looked at before anything is made: each check says what, what was found, and how to mend it.

The permissions that the calls need are listed in `policies`. A call that is not allowed is a warning: whoever deploys
need not be allowed to look.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pixelserve_deploy.aws import AwsError, Session
from pixelserve_deploy.cost import load_books
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.image_config import read_cuda
from pixelserve_deploy.deployment.pricing import KINDS, SAGEMAKER
from pixelserve_deploy.deployment.refusals import refuse
from pixelserve_deploy.deployment.rules import check_template
from pixelserve_deploy.deployment.spec import EndpointSpec, Mode
from pixelserve_deploy.deployment.templates import build_template, split_s3

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS = [
    DOCKER_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
]
LAMBDA_MB = 3008
"""New accounts have no larger functions, and no quota says so."""
LARGEST_LAMBDA_IMAGE = 10 * 10**9
IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<rest>.+)")
QUOTA_PAGE = "https://{region}.{console}/servicequotas/home/services/sagemaker/quotas"
CONSOLES = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn"}


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and how to mend it (empty: nothing to mend)."""

    what: str
    verdict: Verdict
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """The checks in their order, and what they found out."""

    checks: tuple[Check, ...]
    facts: Facts

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if check.verdict is Verdict.FAILED]


def check_all(spec: EndpointSpec, session: Session) -> Report:
    """Looks at everything. Raises AwsError for credentials that are missing or expired."""
    facts = Facts(region=session.region)
    checks: list[Check] = []
    identity = session.client("sts").get_caller_identity()
    facts = replace(facts, account=identity["Account"])
    checks.append(Check("credentials", Verdict.OK, f"{identity['Arn']} in {session.region}"))
    for what, look in (
        ("image", _check_image),
        ("offer", _check_offer),
        ("quota", _check_quota),
        ("weights", _check_weights),
    ):
        try:
            found, facts = look(spec, session, facts)
        except AwsError as error:
            if error.is_expired:
                raise
            found = [_cannot_look(what, error)]
        checks += found
    checks += check_rules(spec, facts)
    return Report(tuple(checks), facts)


def check_without_aws(spec: EndpointSpec, region: str, error: AwsError) -> Report:
    """What can be looked at where AWS answers nobody, which is the first line."""
    facts = Facts(region=region)
    return Report((Check("credentials", Verdict.FAILED, error.message.rstrip(".")), *check_rules(spec, facts)), facts)


def check_rules(spec: EndpointSpec, facts: Facts) -> list[Check]:
    """Our own rules on the spec, and on the template where the spec is fine. Nothing is asked of AWS."""
    refusals = refuse(spec, facts)
    if refusals:
        return [Check(refusal.field, Verdict.FAILED, refusal.message.rstrip(".")) for refusal in refusals]
    findings = check_template(build_template(spec, facts), facts)
    if findings:
        return [Check("template", Verdict.FAILED, str(finding).rstrip(".")) for finding in findings]
    return [Check("template", Verdict.OK, "keeps all rules")]


Found = tuple[list[Check], Facts]


def _cannot_look(what: str, error: AwsError) -> Check:
    fix = "Allow the call, or leave it: deploying may work all the same." if error.is_denied else ""
    return Check(what, Verdict.WARNING, f"could not be looked at: {error.message}", fix)


def _check_image(spec: EndpointSpec, session: Session, facts: Facts) -> Found:
    parts = IMAGE.fullmatch(spec.image)
    if parts is None:
        return [], facts  # refused by our own rules
    repository, tag, digest = split_image(parts["rest"])
    ecr = session.client("ecr")
    try:
        answer = ecr.batch_get_image(
            registryId=parts["account"],
            repositoryName=repository,
            imageIds=[{"imageDigest": digest} if digest else {"imageTag": tag}],
            acceptedMediaTypes=MANIFESTS,
        )
    except AwsError as error:
        if error.reason != "RepositoryNotFoundException":
            raise
        answer = {"images": []}
    if not answer["images"]:
        fix = "`pixelserve push NAME:TAG` puts one there and prints its URI."
        return [Check("image", Verdict.FAILED, f"{spec.image} is not in Amazon ECR", fix)], facts
    image = answer["images"][0]
    manifest = json.loads(image["imageManifest"])
    cuda = read_cuda(ecr, parts["account"], repository, manifest)
    facts = replace(facts, digest=image["imageId"]["imageDigest"], cuda=cuda)
    return [_judge_image(spec, image, manifest, cuda)], facts


def split_image(rest: str) -> tuple[str, str, str]:
    """Repository, tag and digest of what follows the registry's host; without a tag it is `latest`."""
    name, _, digest = rest.partition("@")
    repository, _, tag = name.partition(":")
    return repository, tag or "latest", digest


def _judge_image(spec: EndpointSpec, image: dict[str, Any], manifest: dict[str, Any], cuda: str | None) -> Check:
    kind = image.get("imageManifestMediaType") or manifest.get("mediaType", "")
    if kind != DOCKER_MANIFEST:
        fix = "Build with `pixelserve build`, push with `pixelserve push`: they make the manifests that are taken."
        return Check("image", Verdict.FAILED, f"its manifest is {kind}, which SageMaker and Lambda refuse", fix)
    size = sum(int(layer["size"]) for layer in manifest["layers"])
    device = "" if cuda is None else f", CUDA {cuda}" if cuda else ", for CPUs"
    found = f"{image['imageId']['imageDigest'][:19]}, {size / 1e9:.1f} GB compressed{device}"
    if spec.mode is Mode.LAMBDA and size > LARGEST_LAMBDA_IMAGE:
        return Check("image", Verdict.FAILED, f"{found}; Lambda takes 10 GB", "Build for the CPU: --device cpu.")
    return Check("image", Verdict.OK, found)


def _check_offer(spec: EndpointSpec, session: Session, facts: Facts) -> Found:
    """By our own prices. Types that they have nowhere may be there; a region without prices may have all."""
    if not spec.is_on_instances:
        return [], facts
    regions = list_offers(KINDS[spec.mode])
    known = frozenset[str]().union(*regions.values())
    here = regions.get(session.region)
    unknown = [name for name in spec.instances if here is None or name not in known]
    if here is not None:
        facts = replace(facts, offered=here | set(unknown))
    if unknown:
        found = f"no price is known of {', '.join(unknown)} in {session.region}"
        fix = f"`pixelserve cost refresh --region {session.region}` asks AWS."
        return [Check("offer", Verdict.WARNING, found, fix)], facts
    if not here or not here.issuperset(spec.instances):
        return [], facts  # refused by our own rules
    return [Check("offer", Verdict.OK, f"{', '.join(spec.instances)} in {session.region} by our prices")], facts


def list_offers(kind: str) -> dict[str, frozenset[str]]:
    """Instance types by region that the price books have for `hosting` or `async`."""
    found: dict[str, set[str]] = {}
    for book in load_books().values():
        for service, region, dimension in book.prices:
            if service == SAGEMAKER and dimension.startswith(f"{kind} ml."):
                found.setdefault(region, set()).add(dimension.removeprefix(f"{kind} "))
    return {region: frozenset(types) for region, types in found.items()}


def _check_quota(spec: EndpointSpec, session: Session, facts: Facts) -> Found:
    if spec.mode is Mode.LAMBDA:
        return _check_memory(spec), facts
    if not spec.is_on_instances:
        return [], facts
    quotas = dict(_list_quotas(session))
    facts = replace(facts, quotas={name: quotas[name] for name in spec.instances if name in quotas})
    page = QUOTA_PAGE.format(region=session.region, console=CONSOLES[session.partition])
    checks, most = [], max(spec.greatest, 1)
    for name in spec.instances:
        label = f"{name} for endpoint usage"
        if name not in quotas:
            checks.append(Check("quota", Verdict.WARNING, f"Service Quotas does not list {label!r}", f"Look at {page}"))
        elif quotas[name] < most:
            fix = f"Ask for {most} or more at {page}"
            checks.append(Check("quota", Verdict.WARNING, f"{label}: {quotas[name]}, and {most} may be needed", fix))
        else:
            checks.append(Check("quota", Verdict.OK, f"{label}: {quotas[name]}"))
    return checks, facts


def _check_memory(spec: EndpointSpec) -> list[Check]:
    if spec.memory_mb <= LAMBDA_MB:
        return []
    found = f"{spec.memory_mb} MB; new accounts have {LAMBDA_MB} at most, and no quota says so"
    return [Check("memory", Verdict.WARNING, found, "If AWS refuses, open a support case: Lambda, function memory.")]


def _list_quotas(session: Session) -> Iterator[tuple[str, int]]:
    """Instance type and quota, by the quota's name: its codes differ between sources."""
    for page in session.client("service-quotas").pages("list_service_quotas", ServiceCode="sagemaker", MaxResults=100):
        for quota in page["Quotas"]:
            name, _, rest = quota["QuotaName"].partition(" ")
            if rest == "for endpoint usage":
                yield name, int(quota["Value"])


def _check_weights(spec: EndpointSpec, session: Session, facts: Facts) -> Found:
    if not spec.weights.startswith("s3://"):
        return [], facts
    bucket, key = split_s3(spec.weights)
    try:
        listed = session.client("s3").list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
    except AwsError as error:
        if error.reason != "NoSuchBucket":
            raise
        listed = []
    found = [item for item in listed if key.endswith("/") or not key or item["Key"] == key]
    if not found:
        fix = "`pixelserve package` writes weights as SageMaker takes them; a prefix ends in /."
        return [Check("weights", Verdict.FAILED, f"nothing is at {spec.weights}", fix)], facts
    size = sum(item["Size"] for item in found)
    return [Check("weights", Verdict.OK, f"{len(found)} objects, {size / 1e6:.1f} MB")], facts
