"""The pieces of a template: references, resources with their tags, ARNs that hold in every partition."""

from __future__ import annotations

from typing import Any

from pixelserve_deploy.deployment.api import ApiSpec
from pixelserve_deploy.deployment.spec import EndpointSpec

Resource = dict[str, Any]
Owner = EndpointSpec | ApiSpec
"""Whose tags a resource has."""
TAG = "pixelserve"
"""The tag by which our resources are found: its value is the endpoint's name."""

RANDOM_LETTERS = 12
KEPT_OF_NAME = 24
"""Letters of a stack's name that CloudFormation keeps at least, where it cuts it."""
ROLE_LETTERS, BUCKET_LETTERS, SCHEDULE_LETTERS = 64, 63, 64
"""Of names (API references of CreateRole, CreateBucket and CreateSchedule)."""


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def attribute(name: str, what: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, what]}


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


def arn(rest: str) -> dict[str, str]:
    """`arn:PARTITION:` and the rest, in which `${AWS::Region}` and `${AWS::AccountId}` may stand."""
    return sub(f"arn:${{AWS::Partition}}:{rest}")


def s3_arn(uri: str) -> dict[str, str]:
    """The ARN of `s3://BUCKET/KEY`."""
    return arn(f"s3:::{uri.removeprefix('s3://')}")


def begin_name(stack: str, resource: str, most: int) -> str:
    """How the name begins that CloudFormation gives a resource of a stack, with `*` for the rest.

    It is STACK-RESOURCE- and random letters. Where that is longer than `most`, the stack's name is cut.
    """
    is_whole = len(f"{stack}-{resource}-") + RANDOM_LETTERS <= most
    return f"{stack}-*" if is_whole else f"{stack[:KEPT_OF_NAME]}*"


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def list_tags(owner: Owner) -> list[dict[str, str]]:
    """Its tags, and ours. An API's resources do without the mode: there are many of them, and one stack says it."""
    mode = {f"{TAG}:mode": str(owner.mode)} if isinstance(owner, EndpointSpec) else {}
    return _write_tags({**owner.tags, TAG: owner.name, **mode})


def list_stack_tags(owner: Owner) -> list[dict[str, str]]:
    """The tags of the stack, by which `inventory` knows what it is."""
    return _write_tags({**owner.tags, TAG: owner.name, f"{TAG}:mode": str(owner.mode)})


def _write_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tagged(owner: Owner, kind: str, properties: dict[str, Any], **attributes: Any) -> Resource:
    """A resource of a type that takes tags."""
    return {"Type": kind, **attributes, "Properties": {**properties, "Tags": list_tags(owner)}}


def untagged(kind: str, properties: dict[str, Any], **attributes: Any) -> Resource:
    """A resource of a type that takes none."""
    return {"Type": kind, **attributes, "Properties": properties}
