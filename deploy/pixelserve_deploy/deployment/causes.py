"""Why an operation on a stack failed: AWS has no capacity, the quota is too small, or the fault is one's own.

Sentences of AWS: SageMaker's and CloudFormation's troubleshooting pages, error messages of the API reference, and the
public threads which the documents name. They are looked for, not compared: AWS words them anew now and then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CANCELLED = re.compile(r"\b(creation|update|deletion) cancell?ed\b", re.IGNORECASE)
"""What CloudFormation says of resources that it stopped because of another's failure."""


class Kind(StrEnum):
    """Whose fault it is, and so what helps."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    HEALTH = "health"
    ROLE = "role"
    MANIFEST = "manifest"
    WEIGHTS = "weights"
    PERMISSION = "permission"
    EXISTS = "exists"
    OTHER = "other"


@dataclass(frozen=True)
class Rule:
    """What AWS says, and what a person can do then."""

    kind: Kind
    pattern: re.Pattern[str]
    advice: str


def _rule(kind: Kind, pattern: str, advice: str) -> Rule:
    return Rule(kind, re.compile(pattern, re.IGNORECASE), advice)


RULES = (
    _rule(
        Kind.CAPACITY,
        r"InsufficientInstanceCapacity|insufficient capacity|CapacityError|unable to provision requested ML compute",
        "AWS has no free instance of this type there now; that is no quota. Give several in order of preference "
        "(--instances ml.g4dn.xlarge,ml.g5.xlarge), or another --region, or try again later.",
    ),
    _rule(
        Kind.QUOTA,
        r"ResourceLimitExceeded|service limit '|service quota|LimitExceeded",
        "The account's quota is too small. Ask for more under Service Quotas, Amazon SageMaker, the name that the "
        "message quotes; or give another instance type. `pixelserve doctor` shows the quotas.",
    ),
    _rule(
        Kind.QUOTA,
        r"MemorySize.*less than or equal to 3008",
        "New accounts have Lambda functions of 3,008 MB at most, which no quota shows. Give --memory-mb 3008, or open "
        "a support case of the type service limit increase, Lambda, function memory.",
    ),
    _rule(
        Kind.HEALTH,
        r"ping health check|did not pass the.*health check",
        "The container started and did not become healthy. Its own error is above; `pixelserve logs NAME` has all of "
        "it. Try the same image here: docker run --rm -p 127.0.0.1:8080:8080 IMAGE serve",
    ),
    _rule(
        Kind.ROLE,
        r"does not have .*BatchGetImage|(could not|cannot|unable to|failed to) assume.*role|assume role",
        "The role was not usable yet, or lacks a permission: ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and "
        "ecr:GetAuthorizationToken for the image, and trust in sagemaker.amazonaws.com.",
    ),
    _rule(
        Kind.MANIFEST,
        r"unsupported manifest media type|manifest.*(not supported|unsupported)",
        "SageMaker takes Docker manifests only. Build with `pixelserve build`, push with `pixelserve push`.",
    ),
    _rule(
        Kind.WEIGHTS,
        r"could not find model data|failed to download model data|no objects found under s3",
        "SageMaker cannot read the weights. `pixelserve doctor` says whether they are there; the role needs "
        "s3:GetObject on them and s3:ListBucket on their bucket.",
    ),
    _rule(
        Kind.PERMISSION,
        r"is not authorized to perform|AccessDenied",
        "Whoever deploys lacks the permission that the message names. `pixelserve deploy --print-policy` prints all "
        "that are needed.",
    ),
    _rule(
        Kind.EXISTS,
        r"already exists|Cannot create already existing",
        "Something of this name is there that the stack did not make. Choose another name, or remove the other: "
        "`pixelserve ls` shows it.",
    ),
)


def diagnose(reason: str) -> tuple[Kind, str]:
    """What kind of failure a sentence of AWS tells, and what to do."""
    for rule in RULES:
        if rule.pattern.search(reason):
            return rule.kind, rule.advice
    return Kind.OTHER, ""


def find_cause(events: Iterable[Mapping[str, Any]]) -> str:
    """The first failure that is not the consequence of another; `events` are a stack's, oldest first."""
    for event in events:
        reason = str(event.get("ResourceStatusReason", ""))
        if str(event.get("ResourceStatus", "")).endswith("_FAILED") and not CANCELLED.search(reason):
            return f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): {reason or 'no reason given'}"
    return ""
