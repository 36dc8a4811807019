"""Jobs over the gateway's calls, asynchronous outputs in a folder, result events in a queue."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from gateway_jobs import NOW
from gateway_servers import png
from moto import mock_aws

from pixelserve.errors import BadRequest, InvalidImage, Unavailable
from pixelserve.features import Feature
from pixelserve.observe import NO_TRACE, Trace
from pixelserve.storage import Folder
from pixelserve_gateway import Call, Calls, Result
from pixelserve_gateway.jobs import EndpointCaller, Job, Look, Output, OutputPlaces, Queue, Threads, keep
from pixelserve_gateway.jobs.events import ResultEvent, read_event
from pixelserve_gateway.jobs.job import new_id
from pixelserve_gateway.runtime import Started


class _Calls(Calls):
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def is_asynchronous(self, feature: Feature) -> bool:
        return feature.name == "image_similarity"

    async def invoke(self, call: Call, *, request_id: str = "", trace: Trace = NO_TRACE) -> Result:
        self.asked.append((call, request_id, trace))
        return Result(b"made", "image/png", "width=2")

    async def start(self, call: Call, inference_id: str, *, input_url: str, trace: Trace = NO_TRACE) -> Started:
        self.asked.append((call, inference_id, input_url, trace))
        return Started(inference_id, "file:///o", "file:///f")

    async def look(self, inference_id: str) -> float:
        self.asked.append((inference_id,))
        return 0.25


MADE = Call.from_image("image_similarity", png(8, 8), {"normalize": True})
JOB = Job(
    id=new_id(NOW),
    tenant="ours",
    feature="image_similarity",
    dialect="native",
    call=MADE.dump(),
    created=NOW,
    updated=NOW,
    expires=NOW,
    due=NOW,
    trace=Trace("00-t-1-01"),
)


def _caller(calls: Calls, folder: Path | None) -> EndpointCaller:
    return EndpointCaller(calls, Folder(folder) if folder else None, Threads(), most_bytes=100)


def test_calls_are_made_as_they_were_kept() -> None:
    calls, kept = _Calls(), keep(MADE)
    caller = _caller(calls, None)
    assert caller.is_asynchronous("image_similarity")
    assert not caller.is_asynchronous("human_image_segmentation")
    assert asyncio.run(caller.invoke(JOB, kept)) == Output(b"made", "image/png", "width=2")
    assert asyncio.run(caller.start(JOB, kept, "file:///in")) == OutputPlaces("file:///o", "file:///f")
    assert calls.asked == [(MADE, JOB.id, JOB.trace), (MADE, JOB.id, "file:///in", JOB.trace)]


def test_an_output_is_looked_for_then_a_failure_then_progress(tmp_path: Path) -> None:
    calls, folder = _Calls(), Folder(tmp_path)
    caller = _caller(calls, tmp_path)
    places = OutputPlaces(folder.url("1.out"), folder.url("1-error.out"))

    def look() -> Look:
        return asyncio.run(caller.look(JOB, places))

    assert look() == Look(fraction=0.25)
    assert calls.asked == [(JOB.id,)]
    failure = json.dumps(InvalidImage("Not a picture.", param="img").body("1")).encode()
    folder.write("1-error.out", io.BytesIO(failure), "application/json")
    error = look().error
    assert error is not None
    assert (error.code, error.message, error.param, error.status) == ("invalid_image", "Not a picture.", "img", 400)
    folder.write("1.out", io.BytesIO(b"\x89PNG"), "image/png")
    assert look() == Look(output=Output(b"\x89PNG", "image/png"))
    asyncio.run(caller.forget(places))
    asyncio.run(caller.forget(OutputPlaces("s3://elsewhere/x", "")))
    assert folder.names() == []
    folder.write("1.out", io.BytesIO(bytes(101)), "image/png")
    error = look().error
    assert error is not None
    assert (error.code, error.status) == ("output_too_large", 413)
    assert asyncio.run(caller.look(JOB, OutputPlaces("", ""))).fraction == 0.25


def test_an_output_elsewhere_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in (tmp_path / "outputs", None):
        with pytest.raises(Unavailable):
            asyncio.run(_caller(_Calls(), folder).look(JOB, OutputPlaces("s3://b/1.out", "")))
        assert f"which is not below {folder}" in caplog.text


def test_an_event_is_read_as_the_service_sends_it() -> None:
    message = {
        "invocationStatus": "Completed",
        "requestParameters": {"endpointName": "e", "inputLocation": "s3://b/in"},
        "responseParameters": {"contentType": "image/png", "outputLocation": "s3://b/out"},
        "inferenceId": "123",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    read = ResultEvent("123", True, "s3://b/out", "", "")
    assert read_event(json.dumps(message)) == read
    assert read_event(json.dumps({"Type": "Notification", "Message": json.dumps(message)})) == read
    message |= {"invocationStatus": "Failed", "failureReason": "why", "responseParameters": None}
    assert read_event(json.dumps(message)) == ResultEvent("123", False, "", "", "why")
    for wrong in (message | {"invocationStatus": "Else"}, {"inferenceId": "1"}, [], 1, None):
        with pytest.raises(BadRequest, match="no result event"):
            read_event(json.dumps(wrong))
    with pytest.raises(BadRequest):
        read_event("[" * 100_000)


def test_a_queue_gives_its_messages_until_they_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    async def story(queue: Queue) -> None:
        received = await queue.receive()
        assert sorted(text for _, text in received) == ["a", "b"]
        await queue.delete([receipt for receipt, _ in received])
        await queue.delete([])
        assert await queue.receive() == []

    with mock_aws():
        client = boto3.client("sqs")
        url = client.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        for text in ("a", "b"):
            client.send_message(QueueUrl=url, MessageBody=text)
        asyncio.run(story(Queue(url)))
        with pytest.raises(Unavailable, match="does not do its work"):
            asyncio.run(Queue(url + "x").receive())
