"""What containers write to CloudWatch Logs, as it comes, and how long it is kept.

The groups lie outside the stack: a roll-back would delete the last words with them. Those that we make have our tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pixelserve.observe import LogLine
from pixelserve_deploy.aws import AwsError, Client
from pixelserve_deploy.deployment.api import API, list_all
from pixelserve_deploy.deployment.spec import Mode

LATE_MS = 10_000
"""Lines may come in so much later than newer ones."""
KEPT_DAYS = 30
"""How long lines are kept."""


def name_group(name: str, mode: str) -> str:
    """Where the containers of an endpoint or a function write: SageMaker's and Lambda's own choice."""
    return f"/aws/lambda/{name}" if mode == Mode.LAMBDA else f"/aws/sagemaker/Endpoints/{name}"


def list_groups(name: str, mode: str = "") -> list[str]:
    """The groups of a stack's containers by its mode; without one, of an endpoint and of a function of that name."""
    if mode == API:
        return [name_group(member.name, member.mode) for member in list_all(name)]
    return [name_group(name, one) for one in ([mode] if mode else [Mode.REALTIME, Mode.LAMBDA])]


@dataclass(frozen=True)
class Line:
    """A line of a container: `time` in milliseconds since 1970, the stream it came by, and what it says."""

    time: int
    stream: str
    line: LogLine


class ContainerLog:
    """The lines of a log group from a time on. A group that is not there yet has none."""

    def __init__(self, client: Client, group: str, since: datetime) -> None:
        self._client = client
        self._group = group
        self._since = int(1000 * since.timestamp())
        self._seen: dict[str, int] = {}

    def read(self) -> list[Line]:
        """The lines that are new since the last call, oldest first. Raises AwsError."""
        lines = []
        try:
            for page in self._client.pages(
                "filter_log_events", "nextToken", logGroupName=self._group, startTime=self._since
            ):
                for event in page["events"]:
                    if event["eventId"] not in self._seen:
                        self._seen[event["eventId"]] = event["timestamp"]
                        lines.append(
                            Line(event["timestamp"], event["logStreamName"], LogLine.parse(event["message"].rstrip()))
                        )
        except AwsError as error:
            if error.reason != "ResourceNotFoundException":
                raise
        if lines:
            self._since = max(self._since, max(line.time for line in lines) - LATE_MS)
            self._seen = {event: time for event, time in self._seen.items() if time >= self._since - LATE_MS}
        return sorted(lines, key=lambda line: line.time)


def find_last_error(lines: Iterable[Line]) -> str:
    """The last line that may say why a container ended; empty without one."""
    errors = [line.line.text for line in lines if line.line.is_error and line.line.text]
    return errors[-1] if errors else ""


@dataclass(frozen=True)
class Group:
    """A log group that is there, and how many bytes it has."""

    name: str
    arn: str
    size: int


def find_group(client: Client, name: str) -> Group | None:
    """The log group of this name; None: there is none."""
    for found in client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
        if found["logGroupName"] == name:
            return Group(name, found["arn"].removesuffix(":*"), found.get("storedBytes", 0))
    return None


def read_tags(client: Client, group: Group) -> dict[str, str]:
    return dict(client.list_tags_for_resource(resourceArn=group.arn)["tags"])


def make_group(client: Client, name: str, tags: Mapping[str, str]) -> None:
    """Makes a log group if need be, and keeps the lines of one that is there for as long as those of ours."""
    try:
        client.create_log_group(logGroupName=name, tags=tags)
    except AwsError as error:
        if error.reason != "ResourceAlreadyExistsException":
            raise
    keep_lines(client, name)


def keep_lines(client: Client, name: str) -> None:
    """Sets how long a group's lines are kept."""
    client.put_retention_policy(logGroupName=name, retentionInDays=KEPT_DAYS)


def remove_group(client: Client, name: str) -> bool:
    """Deletes a log group with its lines; whether there was one."""
    try:
        client.delete_log_group(logGroupName=name)
    except AwsError as error:
        if error.reason != "ResourceNotFoundException":
            raise
        return False
    return True
