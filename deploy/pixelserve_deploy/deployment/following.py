"""An operation on a stack, followed to its end: CloudFormation's events, and meanwhile what the container says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pixelserve.processes import Stop
from pixelserve_deploy.aws import AwsError
from pixelserve_deploy.deployment.causes import diagnose, find_cause
from pixelserve_deploy.deployment.logs import ContainerLog, Line, find_last_error
from pixelserve_deploy.deployment.outcome import Outcome, Status
from pixelserve_deploy.deployment.stacks import Stack

POLL_SECONDS = 5.0
QUIET_SECONDS = 60.0
"""After so long without news it is said that the operation goes on."""


class Goal(StrEnum):
    """What an operation is to end in."""

    CREATE = "CREATE_COMPLETE"
    UPDATE = "UPDATE_COMPLETE"
    DELETE = "DELETE_COMPLETE"


UNDONE = frozenset({"DELETE_COMPLETE", "ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
"""Ends in which nothing of a failed operation is left."""


@dataclass(frozen=True)
class Progress:
    """A step of an operation: an event of the stack, a line of the container, or that there is nothing new."""

    source: str
    """`stack`, `container` or `waiting`."""
    status: str = ""
    kind: str = ""
    """The resource's type."""
    name: str = ""
    """Its logical name, or the log stream."""
    text: str = ""


Show = Callable[[Progress], None]


class Follower:
    """Follows operations on one stack.

    `open_logs` gives the containers' lines from a time on; `again` names the command that goes on after this one.
    """

    def __init__(
        self,
        stack: Stack,
        open_logs: Callable[[datetime], Sequence[ContainerLog]] | None,
        show: Show,
        stop: Stop,
        again: str,
        poll: float = POLL_SECONDS,
    ) -> None:
        self._stack = stack
        self._open_logs = open_logs
        self._logs: Sequence[ContainerLog] = ()
        self._show = show
        self._stop = stop
        self._again = again
        self._poll = poll
        self._lines: list[Line] = []

    def follow(self, stack_id: str, goal: Goal, since: str = "") -> Outcome:
        """The operation's end. `since` is the event before its first; without it, the last one to be started is meant.

        Ctrl-C and lost credentials end the following and not the operation.
        """
        try:
            return self._follow(stack_id, goal, since)
        except AwsError as error:
            renew = "Renew the credentials, then follow" if error.is_expired else "Follow"
            return Outcome(Status.RUNNING, error.message, next=f"AWS goes on with it. {renew} it with {self._again}.")

    def _follow(self, stack_id: str, goal: Goal, since: str) -> Outcome:
        events: list[dict[str, Any]] = []
        ended, started, told = "", time.monotonic(), time.monotonic()
        while True:
            news = self._stack.list_events(stack_id, str(events[-1]["EventId"]) if events else since)
            if not events and not since:
                news = select_last_operation(news)
            for event in news:
                self._show(_describe(event))
            if self._open_logs is not None and news and not events:
                self._logs = self._open_logs(news[0]["Timestamp"])  # AWS's clock, which may not be ours
            events += news
            if self._read_logs() or news:
                told = time.monotonic()
            elif ended:
                return self._conclude(ended, goal, events)
            ended = _find_end(events)
            if not ended and time.monotonic() - told > QUIET_SECONDS:
                told = time.monotonic()
                minutes = round((told - started) / 60)
                self._show(Progress("waiting", text=f"{minutes} min so far; an endpoint takes 5 to 10."))
            if self._stop.wait(self._poll):
                text = f"AWS goes on with it. Follow it with {self._again}."
                return Outcome(Status.RUNNING, "Stopped following.", next=text)

    def _read_logs(self) -> bool:
        """Shows what the containers say that may matter; whether there was anything."""
        try:
            lines = [line for log in self._logs for line in log.read() if line.line.is_error]
        except AwsError as error:
            if not error.is_denied:
                raise
            self._show(Progress("waiting", text=f"The container's log cannot be read: {error.message}"))
            self._logs = ()
            return False
        for line in lines:
            self._show(Progress("container", name=line.stream, text=line.line.text))
        self._lines += lines
        return bool(lines)

    def _conclude(self, status: str, goal: Goal, events: Sequence[Mapping[str, Any]]) -> Outcome:
        if status == goal:
            return Outcome(Status.DONE)
        cause = find_cause(events) or f"The stack is {status}."
        error = find_last_error(self._lines)
        if status in UNDONE:
            return Outcome(Status.UNDONE, cause, error, diagnose(cause)[1])
        return Outcome(Status.NEEDS_PERSON, cause, error, advise(status, self._stack.name, events))


def select_last_operation(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events since somebody last started an operation: their first says `User Initiated`."""
    for number in range(len(events) - 1, -1, -1):
        event = events[number]
        if (
            _is_of_stack(event)
            and event["ResourceStatus"].endswith("_IN_PROGRESS")
            and event.get("ResourceStatusReason") == "User Initiated"
        ):
            return events[number:]
    return events


def advise(status: str, stack: str, events: Sequence[Mapping[str, Any]] = ()) -> str:
    """What a person has to do about a stack that is stuck."""
    if status == "UPDATE_ROLLBACK_FAILED":
        failed = sorted(
            {
                str(event["LogicalResourceId"])
                for event in events
                if event["ResourceStatus"] == "UPDATE_FAILED" and not _is_of_stack(event)
            }
        )
        skipped = f", with --resources-to-skip {' '.join(failed)} if it fails again" if failed else ""
        return (
            "The old state could not be put back, so nothing can be updated. Mend what the cause names, then: "
            f"aws cloudformation continue-update-rollback --stack-name {stack}{skipped}"
        )
    if status == "DELETE_FAILED":
        return (
            "Some resources could not be deleted and may still cost money. Mend what the cause names, then run "
            f"`pixelserve destroy {stack.removeprefix('pixelserve-')}` again; or, to leave them behind: aws "
            f"cloudformation delete-stack --stack-name {stack} --deletion-mode FORCE_DELETE_STACK"
        )
    return (
        f"The stack is {status}. `pixelserve destroy {stack.removeprefix('pixelserve-')}` removes it; what it cannot "
        "remove, it names."
    )


def _is_of_stack(event: Mapping[str, Any]) -> bool:
    return bool(event.get("PhysicalResourceId") == event["StackId"])


def _find_end(events: Sequence[Mapping[str, Any]]) -> str:
    """The stack's own last status if it is an end."""
    for event in reversed(events):
        if _is_of_stack(event):
            status = str(event["ResourceStatus"])
            return "" if status.endswith("_IN_PROGRESS") else status
    return ""


def _describe(event: Mapping[str, Any]) -> Progress:
    return Progress(
        "stack",
        str(event["ResourceStatus"]),
        str(event.get("ResourceType", "")),
        str(event.get("LogicalResourceId", "")),
        str(event.get("ResourceStatusReason") or ""),
    )
