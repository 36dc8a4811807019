"""Removing an endpoint with every trace: its buckets' objects, the stack, older models, and soon its logs."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixelserve_deploy.aws import AwsError, Client
from pixelserve_deploy.deployment.deploying import Work
from pixelserve_deploy.deployment.following import Goal, Progress
from pixelserve_deploy.deployment.logs import LEFT_DAYS, keep, name_endpoint_group, name_function_group
from pixelserve_deploy.deployment.outcome import Outcome, Status
from pixelserve_deploy.deployment.retained import CONFIG_TYPE, MODEL_TYPE, list_left, remove
from pixelserve_deploy.deployment.stacks import EMPTY

BUCKET_TYPE = "AWS::S3::Bucket"


@dataclass(frozen=True)
class Remains:
    """What there is of an endpoint. Empty and falsy: nothing."""

    stack_id: str = ""
    status: str = ""
    resources: tuple[tuple[str, str], ...] = ()
    """Type and name of each resource of the stack."""
    buckets: dict[str, int] = field(default_factory=dict)
    """The stack's own buckets, and how many objects each has, old versions and all."""
    left: tuple[str, ...] = ()
    """ARNs of models and configurations that updates left behind."""

    def __bool__(self) -> bool:
        return bool(self.stack_id or self.left)


def find_remains(work: Work) -> Remains:
    """What a `destroy` would remove. Raises AwsError."""
    state = work.stack.find()
    if state is None:
        return Remains(left=tuple(list_left(work.session, (), work.name)))
    left = tuple(list_left(work.session, work.stack.list_names(CONFIG_TYPE, MODEL_TYPE), work.name))
    resources = [
        (str(found["ResourceType"]), str(found.get("PhysicalResourceId", "")))
        for found in work.stack.list_resources()
        if found["ResourceStatus"] != "DELETE_COMPLETE"
    ]
    s3 = work.session.client("s3")
    buckets = {name: sum(map(len, _list_objects(s3, name))) for kind, name in resources if kind == BUCKET_TYPE}
    return Remains(state.id, state.status, tuple(resources), buckets, left)


def carry_out(work: Work, remains: Remains) -> Outcome:
    """Removes it. CloudFormation leaves buckets alone that are not empty, so they are emptied first."""
    for bucket in remains.buckets:
        _empty(work.session.client("s3"), bucket)
    if remains.stack_id:
        outcome = _delete_stack(work, remains)
        if outcome.status is not Status.DONE:
            return outcome
    try:
        removed = remove(work.session, list_left(work.session, (), work.name))
        if removed:
            work.show(Progress("waiting", text=f"Removed {removed} models and configurations of earlier updates."))
        for group in work.log_groups or (name_endpoint_group(work.name), name_function_group(work.name)):
            if keep(work.session.client("logs"), group, LEFT_DAYS, make=False):
                work.show(Progress("waiting", text=f"{group}: its lines are gone in {LEFT_DAYS} day."))
    except AwsError as error:
        return Outcome(Status.RUNNING, error.message, next=f"The stack is gone. For what is left, run {work.again}.")
    return Outcome(Status.DONE)


def _delete_stack(work: Work, remains: Remains) -> Outcome:
    if remains.status == "DELETE_IN_PROGRESS":
        return work.follow(remains.stack_id, Goal.DELETE)
    since = work.stack.find_newest_event(remains.stack_id)
    work.stack.delete(work.role)
    if remains.status == EMPTY:
        return Outcome(Status.DONE)
    return work.follow(remains.stack_id, Goal.DELETE, since)


def _list_objects(s3: Client, bucket: str) -> list[list[dict[str, str]]]:
    """The objects of a bucket in pages of at most 1,000, with old versions and marks of deletion; none without one."""
    pages: list[list[dict[str, str]]] = []
    marker: dict[str, str] = {}
    while True:
        try:
            page = s3.list_object_versions(Bucket=bucket, **marker)
        except AwsError as error:
            if error.reason == "NoSuchBucket":
                return pages
            raise
        pages.append(
            [
                {"Key": found["Key"], "VersionId": found["VersionId"]}
                for found in page.get("Versions", []) + page.get("DeleteMarkers", [])
            ]
        )
        if not page.get("IsTruncated"):
            return pages
        marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def _empty(s3: Client, bucket: str) -> None:
    for objects in _list_objects(s3, bucket):
        if objects:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
