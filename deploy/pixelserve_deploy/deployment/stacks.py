"""One CloudFormation stack: its state, its change sets, and what starts or ends an operation. `following` waits."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pixelserve.errors import PixelserveError
from pixelserve.processes import Stop
from pixelserve_deploy.aws import AwsError, Client
from pixelserve_deploy.deployment.spec import STACK_PREFIX
from pixelserve_deploy.deployment.templates import LARGEST_TEMPLATE, TAG, Template, render

UNCHANGED = ("didn't contain changes", "no updates are to be performed")
"""What CloudFormation says of a change set that has none."""
EMPTY = "REVIEW_IN_PROGRESS"
"""The state of a stack that has a change set and nothing else."""
DEAD = frozenset({"ROLLBACK_COMPLETE", "CREATE_FAILED"})
"""States of a stack that was never complete: it can be deleted and nothing else."""
STUCK = frozenset({"UPDATE_ROLLBACK_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED", "UPDATE_FAILED"})
"""States out of which CloudFormation does not find by itself."""


class StackRefused(PixelserveError):
    """CloudFormation did not take a template; nothing was changed."""

    code = "stack_refused"


@dataclass(frozen=True)
class State:
    """What DescribeStacks says of a stack."""

    id: str
    status: str
    reason: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_moving(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != EMPTY


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed. `changes` are DescribeChangeSet's."""

    id: str
    stack_id: str
    creates: bool
    changes: Sequence[Mapping[str, Any]]
    made_stack: bool = False
    """Whether the empty stack that it is for came with it."""


def find_output(client: Client, name: str, key: str) -> str:
    """An output of an endpoint's stack, by a client of CloudFormation; empty without one, and to who may not look."""
    try:
        state = Stack(client, STACK_PREFIX + name).find()
    except AwsError as error:
        if not error.is_denied:
            raise
        return ""
    return state.outputs.get(key, "") if state else ""


def is_ours(stack: str, tags: Mapping[str, str]) -> bool:
    """Whether a stack of this name and with these tags is one that we made."""
    return tags.get(TAG) is not None and stack == STACK_PREFIX + tags[TAG]


class Stack:
    """The stack of a name, through a client of CloudFormation."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def find(self, stack_id: str = "") -> State | None:
        """Its state; by the id also that of one which has been deleted. None: there is no such stack."""
        try:
            found = self._client.describe_stacks(StackName=stack_id or self.name)["Stacks"][0]
        except AwsError as error:
            if error.reason == "ValidationError" and "does not exist" in error.message:
                return None
            raise
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
        parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])}
        outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
        reason = found.get("StackStatusReason", "")
        return State(found["StackId"], found["StackStatus"], reason, tags, parameters, outputs)

    def find_ours(self) -> State | None:
        """The same. Raises StackRefused for a stack that only has a name like ours: those that we make have our tag."""
        state = self.find()
        if state is None or state.status == EMPTY or is_ours(self.name, state.tags):
            return state
        name = self.name.removeprefix(STACK_PREFIX)
        raise StackRefused(
            f"{self.name} was not made by pixelserve: it has no tag {TAG} = {name}. Take another name; if it is yours "
            "all the same, give it that tag."
        )

    def read_template(self) -> dict[str, Any]:
        """The template as it stands."""
        body = self._client.get_template(StackName=self.name)["TemplateBody"]
        return dict(body) if isinstance(body, Mapping) else dict(json.loads(body))

    def list_resources(self) -> list[dict[str, Any]]:
        """Its resources, as ListStackResources has them."""
        pages = self._client.pages("list_stack_resources", StackName=self.name)
        return [resource for page in pages for resource in page["StackResourceSummaries"]]

    def list_names(self, *kinds: str) -> set[str]:
        """The names of its resources of some types, in lower case: SageMaker's ARNs are."""
        return {
            str(resource["PhysicalResourceId"]).rpartition("/")[2].lower()
            for resource in self.list_resources()
            if resource["ResourceType"] in kinds and resource.get("PhysicalResourceId")
        }

    def prepare(
        self,
        template: Template,
        tags: Iterable[Mapping[str, str]],
        parameters: Mapping[str, str],
        *,
        stop: Stop,
        pause: float,
        role: str = "",
    ) -> ChangeSet | None:
        """A change set for the template and its parameters, not executed; None when there is nothing to change.

        Raises StackRefused with CloudFormation's reason, and Stopped. A failed creation deletes what it made.
        """
        body = render(template)
        if len(body.encode()) > LARGEST_TEMPLATE:
            raise StackRefused(f"The template has {len(body.encode()):,} bytes; {LARGEST_TEMPLATE:,} is the most.")
        state = self.find()
        creates = state is None or state.status == EMPTY
        wanted: dict[str, Any] = {
            "StackName": self.name,
            "ChangeSetName": f"pixelserve-{int(1000 * time.time())}",
            "ChangeSetType": "CREATE" if creates else "UPDATE",
            "TemplateBody": body,
            "Capabilities": ["CAPABILITY_IAM"],
            "Tags": [*tags],
        }
        if creates:
            wanted["OnStackFailure"] = "DELETE"
        if role:
            wanted["RoleARN"] = role
        if parameters:
            wanted["Parameters"] = [{"ParameterKey": name, "ParameterValue": one} for name, one in parameters.items()]
        made = self._client.create_change_set(**wanted)
        change_set = self._wait(ChangeSet(made["Id"], made["StackId"], creates, (), state is None), stop, pause)
        if change_set is None:
            self._client.delete_change_set(ChangeSetName=made["Id"])
        return change_set

    def _wait(self, made: ChangeSet, stop: Stop, pause: float) -> ChangeSet | None:
        while True:
            pages = list(self._client.pages("describe_change_set", ChangeSetName=made.id, IncludePropertyValues=True))
            status, reason = pages[0]["Status"], pages[0].get("StatusReason", "")
            if status == "CREATE_COMPLETE":
                changes = [change["ResourceChange"] for page in pages for change in page.get("Changes", [])]
                return replace(made, changes=changes)
            if status == "FAILED":
                if any(text in reason.lower() for text in UNCHANGED):
                    return None
                details = self._list_findings(made.id)
                self.discard(made)
                raise StackRefused(" ".join([f"CloudFormation refuses the template: {reason}", *details]))
            if stop.wait(pause):
                self.discard(made)
                stop.check()

    def _list_findings(self, change_set: str) -> list[str]:
        """What AWS's own validation found; nothing where the caller may not ask."""
        try:
            events = self._client.describe_events(ChangeSetName=change_set)["OperationEvents"]
        except AwsError:
            return []
        return [
            f"{event.get('LogicalResourceId', '')} {event.get('ValidationPath', '')}: {event['ValidationStatusReason']}"
            for event in events
            if event.get("ValidationStatus") == "FAILED" and event.get("ValidationStatusReason")
        ]

    def discard(self, change_set: ChangeSet) -> None:
        """Removes a change set and the empty stack that came with it, unless the caller may not delete stacks.

        An empty stack that was there before may hold the change set of somebody who is still being asked.
        """
        self._client.delete_change_set(ChangeSetName=change_set.id)
        if change_set.made_stack:
            try:
                self._client.delete_stack(StackName=change_set.stack_id)
            except AwsError as error:
                if not error.is_denied:
                    raise

    def execute(self, change_set: ChangeSet) -> None:
        self._client.execute_change_set(ChangeSetName=change_set.id)

    def delete(self, role: str = "") -> None:
        self._client.delete_stack(StackName=self.name, **({"RoleARN": role} if role else {}))

    def list_events(self, stack_id: str, until: str = "") -> list[dict[str, Any]]:
        """The stack's events after the one whose EventId is `until`, oldest first; all of them without."""
        found: list[dict[str, Any]] = []
        for page in self._client.pages("describe_stack_events", StackName=stack_id):
            for event in page["StackEvents"]:
                if event["EventId"] == until:
                    return found[::-1]
                found.append(event)
        return found[::-1]

    def find_newest_event(self, stack_id: str) -> str:
        """The EventId from which an operation that is about to start is followed; empty without events."""
        events = self._client.describe_stack_events(StackName=stack_id)["StackEvents"]
        return str(events[0]["EventId"]) if events else ""
