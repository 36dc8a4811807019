"""Fields that a mode does not take, and values that it does not."""

from __future__ import annotations

from pixelserve.features import FEATURES, find
from pixelserve_deploy.deployment.facts import Facts
from pixelserve_deploy.deployment.refusals.refusal import Refusal, Refusals
from pixelserve_deploy.deployment.spec import LAMBDA_MB, SERVERLESS_MB, EndpointSpec, Mode

INSTANCES = frozenset({Mode.REALTIME, Mode.ASYNC})
MEMORY = frozenset({Mode.SERVERLESS, Mode.LAMBDA})
_FLEET = (INSTANCES, "It has no instances of yours. Remove it, or write mode = 'realtime'.")
TAKEN_BY = {
    "instances": _FLEET,
    "count": _FLEET,
    "most": _FLEET,
    "concurrent": _FLEET,
    "ami": _FLEET,
    "update": _FLEET,
    "start_seconds": _FLEET,
    "memory_mb": (MEMORY, "The memory is the instance type's. Remove it, and choose by `instances`."),
    "timeout_seconds": (frozenset({Mode.LAMBDA}), "SageMaker has its own times. Remove it."),
    "concurrency": (MEMORY | {Mode.ASYNC}, "The container takes what comes. Remove it; `concurrent` guides scaling."),
    "output": (frozenset({Mode.ASYNC}), "The answer goes to the caller. Remove it."),
    "capture": (
        frozenset({Mode.REALTIME}),
        "Only real-time endpoints capture data. Remove it; asynchronous results lie in S3 anyway.",
    ),
    "capture_percent": (frozenset({Mode.REALTIME}), "Only real-time endpoints capture data. Remove it."),
    "network_isolation": (INSTANCES, "Only models on instances are isolated. Remove it, or write mode = 'realtime'."),
    "subnets": (INSTANCES | {Mode.LAMBDA}, "Serverless endpoints are in no VPC. Remove them, or take another mode."),
    "security_groups": (INSTANCES | {Mode.LAMBDA}, "Serverless endpoints are in no VPC. Remove them."),
    "weights": (
        INSTANCES | {Mode.SERVERLESS},
        "A function has the image's own. Remove it, and put them in: pixelserve build --target lambda --model-dir.",
    ),
}
"""Which modes take a field, and what to do in the others. Fields that are not here all modes take.

Sources: SageMaker developer guide, feature exclusions of serverless inference; Lambda's CreateFunction."""
SERVERLESS_MOST = 200
"""MaxConcurrency."""


def check(spec: EndpointSpec, facts: Facts) -> Refusals:
    """Refuses what does not go with the mode."""
    for field, (modes, instead) in TAKEN_BY.items():
        if field in spec.model_fields_set and getattr(spec, field) and spec.mode not in modes:
            yield Refusal(field, f"Mode {spec.mode} takes no {field}. {instead}")
    if spec.mode is Mode.SERVERLESS:
        yield from _check_serverless(spec)
    if spec.mode is Mode.LAMBDA and spec.memory_mb not in LAMBDA_MB:
        yield Refusal("memory_mb", f"Lambda has 128 to 10240 MB, not {spec.memory_mb}. Write one of these.")
    if spec.mode in MEMORY and facts.cuda:
        yield Refusal("image", f"Mode {spec.mode} has no GPU. Build the image without --device cuda.")
    yield from _check_features(spec)
    yield from _check_expiry(spec)


def _check_serverless(spec: EndpointSpec) -> Refusals:
    if spec.memory_mb not in SERVERLESS_MB:
        sizes = ", ".join(map(str, SERVERLESS_MB))
        yield Refusal("memory_mb", f"A serverless endpoint has {sizes} MB, not {spec.memory_mb}. Write one of these.")
    if spec.weights.endswith("/"):
        yield Refusal(
            "weights",
            "Serverless endpoints take no uncompressed prefix. Write s3://…/model.tar.gz, which `pixelserve package` "
            "makes.",
        )
    if (spec.concurrency or 1) > SERVERLESS_MOST:
        yield Refusal("concurrency", f"A serverless endpoint takes {SERVERLESS_MOST} requests at once. Write less.")


def _check_features(spec: EndpointSpec) -> Refusals:
    for feature in spec.features:
        if find(feature) is None:
            known = ", ".join(one.endpoint for one in FEATURES)
            yield Refusal(
                "features", f"There is no feature {feature}. Features: {known}. Leave it out for a handler of yours."
            )
    if len({feature.replace("_", "-") for feature in spec.features}) < len(spec.features):
        yield Refusal("features", "One is there twice. Name each once.")
    if not spec.is_multi_model:
        return
    if spec.mode is not Mode.REALTIME:
        yield Refusal("features", f"Mode {spec.mode} serves one. Name one, or write mode = 'realtime' for several.")
        return
    if not spec.weights.endswith("/"):
        yield Refusal(
            "weights",
            "Several features come from S3. Write s3://BUCKET/PREFIX/ below which lies FEATURE.tar.gz for each of "
            "them, made by `pixelserve package FEATURE`.",
        )
    if len(spec.instances) > 1:
        yield Refusal("instances", "Instance pools serve one model. Name one type for several features.")
    if spec.scales:
        yield Refusal("most", "Scaling counts one model's requests. Write the same `count` and `most`.")


def _check_expiry(spec: EndpointSpec) -> Refusals:
    if spec.ttl_hours is None:
        if spec.ttl_role:
            yield Refusal("ttl_role", "Nothing ends without `ttl_hours`. Write hours, or remove it.")
        return
    if spec.mode is Mode.ASYNC and not spec.output:
        yield Refusal(
            "ttl_hours", "A schedule cannot empty the stack's own bucket. Write output = 's3://BUCKET/PREFIX/' as well."
        )
    if spec.role and not spec.ttl_role:
        yield Refusal(
            "ttl_hours",
            "With `role` the stack makes no roles. Write the ARN of one that scheduler.amazonaws.com may take on and "
            "that may delete the stack as ttl_role.",
        )
