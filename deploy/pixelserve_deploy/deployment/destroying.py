"""Removing an endpoint with every trace: its buckets' objects, the stack, older models and its logs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from pixelserve_deploy.aws import AwsError, Client
from pixelserve_deploy.deployment.deploying import Work
from pixelserve_deploy.deployment.following import Goal, Progress
from pixelserve_deploy.deployment.logs import (
    KEPT_DAYS,
    Group,
    find_group,
    keep_lines,
    list_groups,
    read_tags,
    remove_group,
)
from pixelserve_deploy.deployment.outcome import Outcome, Status
from pixelserve_deploy.deployment.retained import CONFIG_TYPE, MODEL_TYPE, list_left, remove
from pixelserve_deploy.deployment.stacks import EMPTY, State
from pixelserve_deploy.deployment.templates import TAG

BUCKET_TYPE = "AWS::S3::Bucket"
LOOKS = 4
"""How often log groups are deleted: SageMaker writes for some seconds after an endpoint's end, which makes its group
again (apache/airflow, pull request 29581)."""


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
    groups: tuple[Group, ...] = ()
    """Its log groups."""

    def __bool__(self) -> bool:
        return bool(self.stack_id or self.left or self.groups)


def find_remains(work: Work) -> Remains:
    """What a `destroy` would remove. Raises AwsError, and StackRefused for the stack of somebody else."""
    state = work.stack.find_ours()
    groups = tuple(_find_groups(work, state))
    if state is None:
        return Remains(left=tuple(list_left(work.session, (), work.name)), groups=groups)
    left = tuple(list_left(work.session, work.stack.list_names(CONFIG_TYPE, MODEL_TYPE), work.name))
    resources = [
        (str(found["ResourceType"]), str(found.get("PhysicalResourceId", "")))
        for found in work.stack.list_resources()
        if found["ResourceStatus"] != "DELETE_COMPLETE"
    ]
    s3 = work.session.client("s3")
    buckets = {name: sum(map(len, _list_objects(s3, name))) for kind, name in resources if kind == BUCKET_TYPE}
    return Remains(state.id, state.status, tuple(resources), buckets, left, groups)


def _find_groups(work: Work, state: State | None) -> list[Group]:
    """Its log groups that are there. Without a stack they may be another's, unless they have our tag."""
    client = work.session.client("logs")
    mode = state.tags.get(f"{TAG}:mode", "") if state else ""
    try:
        found = [
            group for name in work.log_groups or list_groups(work.name, mode) if (group := find_group(client, name))
        ]
        return [group for group in found if state or read_tags(client, group).get(TAG) == work.name]
    except AwsError as error:
        if not error.is_denied:
            raise
        work.show(Progress("waiting", text=f"Log groups were not looked for, and stay: {error.message}"))
        return []


def carry_out(work: Work, remains: Remains, *, keep_logs: bool = False) -> Outcome:
    """Removes it. Raises AwsError for a deletion that was refused before anything had begun."""
    done = "Objects of its buckets may be gone. " if remains.buckets else ""
    try:
        if remains.stack_id:
            outcome = _empty_and_delete(work, remains)
            if outcome.status is not Status.DONE:
                return outcome
            done = "The stack is gone. "
        removed = remove(work.session, list_left(work.session, (), work.name))
        if removed:
            work.show(Progress("waiting", text=f"Removed {removed} models and configurations of earlier updates."))
        if keep_logs:
            _keep_groups(work, remains.groups)
        else:
            _remove_groups(work, remains.groups)
    except AwsError as error:
        if error.is_denied:
            if remains.stack_id and not done:
                raise
            return Outcome(
                Status.NEEDS_PERSON, error.message, next=f"{done}Allow the call, then run {work.again} again."
            )
        renew = "renew the credentials and " if error.is_expired else ""
        return Outcome(Status.RUNNING, error.message, next=f"{done}For what is left, {renew}run {work.again}.")
    return Outcome(Status.DONE)


def _keep_groups(work: Work, groups: Iterable[Group]) -> None:
    for group in groups:
        keep_lines(work.session.client("logs"), group.name)
        work.show(Progress("waiting", text=f"{group.name} stays; its lines are gone after {KEPT_DAYS} days."))


def _remove_groups(work: Work, groups: Collection[Group]) -> None:
    """Deletes log groups, and those that come again. Ctrl-C ends the looking."""
    told = set()
    for look in range(LOOKS if groups else 0):
        if look and work.stop.wait(work.poll):
            return
        for group in groups:
            if remove_group(work.session.client("logs"), group.name) and group not in told:
                told.add(group)
                work.show(Progress("waiting", text=f"Removed the log group {group.name}."))


def _empty_and_delete(work: Work, remains: Remains) -> Outcome:
    """CloudFormation leaves buckets alone that are not empty, so they are emptied first.

    An endpoint writes until it is gone: a bucket that has objects again is emptied and the stack deleted once more.
    """
    s3 = work.session.client("s3")
    for bucket in remains.buckets:
        _empty(s3, bucket)
    outcome = _delete_stack(work, remains)
    came = sum(_empty(s3, bucket) for bucket in remains.buckets) if outcome.status is Status.NEEDS_PERSON else 0
    if came:
        work.show(Progress("waiting", text="Objects came while the endpoint went: emptied its bucket, deleting again."))
        return _delete_stack(work, replace(remains, status="DELETE_FAILED"))
    return outcome


def _delete_stack(work: Work, remains: Remains) -> Outcome:
    if remains.status == "DELETE_IN_PROGRESS":
        return work.follow(remains.stack_id, Goal.DELETE)
    since = work.stack.find_newest_event(remains.stack_id)
    work.stack.delete(work.role)
    if remains.status == EMPTY:
        return Outcome(Status.DONE)
    return work.follow(remains.stack_id, Goal.DELETE, since)


def _list_objects(s3: Client, bucket: str) -> Iterator[list[dict[str, str]]]:
    """The objects of a bucket in pages of at most 1,000, with old versions and marks of deletion; none without one."""
    marker: dict[str, str] = {}
    while True:
        try:
            page = s3.list_object_versions(Bucket=bucket, **marker)
        except AwsError as error:
            if error.reason == "NoSuchBucket":
                return
            raise
        yield [
            {"Key": found["Key"], "VersionId": found["VersionId"]}
            for found in page.get("Versions", []) + page.get("DeleteMarkers", [])
        ]
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def _empty(s3: Client, bucket: str) -> int:
    """How many objects it had. Raises AwsError, also for one that S3 does not delete."""
    count = 0
    for objects in filter(None, _list_objects(s3, bucket)):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for error in answer.get("Errors", []):
            raise AwsError("DeleteObjects", error["Code"], f"{bucket}/{error['Key']}: {error['Message']}")
        count += len(objects)
    return count
