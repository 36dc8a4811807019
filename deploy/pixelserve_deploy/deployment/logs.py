"""What containers write to CloudWatch Logs, as it comes, and how long it is kept.

The groups lie outside the stack: a roll-back would delete the last words with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pixelserve.observe import LogLine
from pixelserve_deploy.aws import AwsError, Client

LATE_MS = 10_000
"""Lines may come in so much later than newer ones."""
KEPT_DAYS, LEFT_DAYS = 30, 1
"""How long lines are kept while there is an endpoint, and after it was destroyed."""


def name_endpoint_group(name: str) -> str:
    """SageMaker's own choice, which cannot be changed."""
    return f"/aws/sagemaker/Endpoints/{name}"


def name_function_group(name: str) -> str:
    """Lambda's own choice."""
    return f"/aws/lambda/{name}"


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


def has_group(client: Client, group: str) -> bool:
    """Whether there is such a log group."""
    found = client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return any(entry["logGroupName"] == group for entry in found)


def keep(client: Client, group: str, days: int, *, make: bool) -> bool:
    """Sets how long a group's lines are kept, of one that is made if need be; whether there is such a group."""
    if make:
        try:
            client.create_log_group(logGroupName=group)
        except AwsError as error:
            if error.reason != "ResourceAlreadyExistsException":
                raise
    try:
        client.put_retention_policy(logGroupName=group, retentionInDays=days)
    except AwsError as error:
        if error.reason != "ResourceNotFoundException":
            raise
        return False
    return True
