"""The messages by which Asynchronous Inference tells of an invocation's end: SNS, then SQS.

Facts: the message of SageMaker's asynchronous inference notifications, the envelope of SNS (absent with raw message
delivery), the event of SQS for Lambda.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pixelserve.errors import BadRequest, Unavailable

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 1
_MOST_MESSAGES = 10


@dataclass(frozen=True)
class ResultEvent:
    """One invocation's end. `output` and `failure` are URLs, empty where the message has none."""

    inference_id: str
    is_completed: bool
    output: str
    failure: str
    reason: str


def read_event(text: str) -> ResultEvent:
    """The event in a message's text. Raises BadRequest for any other message."""
    try:
        message = json.loads(text)
        if message.get("Type") == "Notification":
            message = json.loads(message["Message"])
        places = message.get("responseParameters") or {}
        status = {"Completed": True, "Failed": False}[message["invocationStatus"]]
        return ResultEvent(
            str(message["inferenceId"]),
            status,
            str(places.get("outputLocation") or ""),
            str(places.get("failureLocation") or ""),
            str(message.get("failureReason") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadRequest("The message is no result event of Asynchronous Inference. Give the queue no other.") from None


def read_events(texts: Iterable[str]) -> list[ResultEvent]:
    """The events in messages; what is none is logged and dropped, since it would come again and again."""
    events = []
    for text in texts:
        try:
            events.append(read_event(text))
        except BadRequest as error:
            logger.warning("%s", error.message)
    return events


def texts_of(event: Mapping[str, Any]) -> list[str]:
    """The messages in what Lambda is called with: an SQS event's; none in a schedule's."""
    return [str(record["body"]) for record in event.get("Records", ())]


class EventSource(Protocol):
    """Where messages wait."""

    async def receive(self) -> list[tuple[str, str]]:
        """Some messages, as (receipt, text)."""

    async def delete(self, receipts: list[str]) -> None:
        """Has messages not come again."""


class Queue:
    """An SQS queue, read where no Lambda is called for its messages."""

    def __init__(self, url: str) -> None:
        import boto3

        self._url = url
        self._client: Any = boto3.Session().client("sqs")

    async def receive(self) -> list[tuple[str, str]]:
        answer = await self._ask(
            self._client.receive_message, MaxNumberOfMessages=_MOST_MESSAGES, WaitTimeSeconds=_WAIT_SECONDS
        )
        return [(message["ReceiptHandle"], message["Body"]) for message in answer.get("Messages", ())]

    async def delete(self, receipts: list[str]) -> None:
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        if entries:
            await self._ask(self._client.delete_message_batch, Entries=entries)

    async def _ask(self, operation: Any, **options: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return await asyncio.to_thread(operation, QueueUrl=self._url, **options)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"The queue {self._url} does not do its work: {error}") from error
