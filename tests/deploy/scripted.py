"""Clients of botocore whose answers a test scripts, each checked against botocore's own model of the service.

As botocore's Stubber, but with a queue for each operation: what a command asks between two polls may come in any order.
Fields and error codes of the answers are those of the models; where a sentence of AWS is quoted, the test names where
it was published.
"""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber

ACCOUNT, REGION = "123456789012", "us-east-2"
BEGIN = datetime(2026, 11, 30, 12, tzinfo=UTC)
_SESSION, _make_client = boto3.Session(region_name=REGION), boto3.Session.client
"""One session for all tests: it reads the models of services once."""


class Scripted:
    """Answers by service and operation. The last answer of an operation is given again and again."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        patch.setattr(boto3.Session, "client", lambda session, service, **options: self._client(service))

    def _client(self, service: str) -> Any:
        client = _make_client(_SESSION, service, aws_access_key_id="testing", aws_secret_access_key="testing")
        judge = Stubber(client)

        def record(params: dict[str, Any], model: Any, **_: Any) -> None:
            self.calls.append((model.name, params))

        def answer(model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            queue = self._answers[service, model.name]
            assert queue, f"nobody scripted {service} {model.name}"
            given = queue.popleft() if len(queue) > 1 else queue[0]
            given = given() if callable(given) else given
            if "Error" in given:
                return AWSResponse("", given["status"], {}, None), {**given, "ResponseMetadata": {}}
            judge._validate_operation_response(model.name, given)
            return AWSResponse("", 200, {}, None), {**given, "ResponseMetadata": {}}

        client.meta.events.register("before-parameter-build.*.*", record)
        client.meta.events.register("before-call.*.*", answer)
        return client

    def answer(self, service: str, operation: str, *answers: Any) -> None:
        """What the operation answers, call after call; a function is called for its answer."""
        self._answers[service, operation].extend(answers)

    def replace(self, service: str, operation: str, *answers: Any) -> None:
        """The same, instead of what is left."""
        self._answers[service, operation] = deque(answers)

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    def find(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of the operation's calls."""
        return [parameters for name, parameters in self.calls if name == operation]


def error(code: str, message: str, status: int = 400) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": message}, "status": status}


class Story:
    """The events of one stack, as DescribeStackEvents gives them: newest first, all of them at each call."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/0a1b2c3d"
        self.events: list[dict[str, Any]] = []

    def stack(self, status: str, reason: str = "") -> Story:
        return self.tell(self.name, "AWS::CloudFormation::Stack", status, reason, self.id)

    def tell(self, name: str, kind: str, status: str, reason: str = "", physical: str = "x") -> Story:
        """One more event."""
        number = len(self.events)
        told = {
            "StackId": self.id,
            "EventId": f"event-{number}",
            "StackName": self.name,
            "LogicalResourceId": name,
            "PhysicalResourceId": physical,
            "ResourceType": kind,
            "Timestamp": BEGIN + timedelta(seconds=number),
            "ResourceStatus": status,
        }
        self.events.append({**told, "ResourceStatusReason": reason} if reason else told)
        return self

    def so_far(self) -> dict[str, Any]:
        """The answer with what has been told until now."""
        return {"StackEvents": self.events[::-1]}

    def described(self, status: str, **fields: Any) -> dict[str, Any]:
        """DescribeStacks's answer."""
        tags = [{"Key": "pixelserve", "Value": self.name.removeprefix("pixelserve-")}]
        named = {"StackId": self.id, "StackName": self.name, "CreationTime": BEGIN, "Tags": tags}
        stack = {**named, "StackStatus": status, **fields}
        return {"Stacks": [stack]}
