"""Answers as an event stream: the framing by botocore's parser, the rest by a boto3 client over real connections."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import boto3
import httpx
import local_handlers as handlers
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from servers import wait_for

from pixelserve.local import Source
from pixelserve.local.event_stream import encode_exception, encode_part
from pixelserve.local.runtime import PORT_TAKEN, LocalRuntime, Runtime, running
from pixelserve.wire import bind

PARTS = """
def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return body.encode() if isinstance(body, str) else bytes(body)

def predict_fn(data, model, context):
    context.answer_attributes = "seen=" + context.custom_attributes
    if data == b"fail":
        raise ValueError("no")
    return data

def output_fn(prediction, accept):
    if prediction.startswith(b"slowly"):
        return iterate(prediction), accept
    if prediction.startswith(b"forever"):
        return drip(prediction), accept
    return [prediction] * 3, accept

def iterate(prediction):
    import pathlib, time
    yield b"first"
    file = pathlib.Path(prediction.removeprefix(b"slowly").decode())
    while not file.exists():
        time.sleep(0.01)
    if file.read_text() == "fail":
        raise ValueError("in the middle")
    yield b"last"

def drip(prediction):
    import pathlib, time
    made = pathlib.Path(prediction.removeprefix(b"forever").decode())
    while True:
        with made.open("ab") as file:
            file.write(b".")
        yield b"drop"
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = handlers.write(tmp_path_factory.mktemp("handlers") / "parts", PARTS)
    with running([Source("parts", folder)]) as local, pytest.MonkeyPatch.context() as patch:
        for name, value in local.environment().items():
            patch.setenv(name, value)
        yield boto3.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 300])
def test_botocore_reads_a_part(data):
    buffer = EventStreamBuffer()
    message = encode_part(data)
    for start in range(0, len(message), 7):
        buffer.add_data(message[start : start + 7])
    (event,) = list(buffer)
    assert event.payload == data
    assert event.headers == {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }


def test_botocore_reads_an_exception():
    buffer = EventStreamBuffer()
    buffer.add_data(encode_exception("ModelStreamError", {"Message": "é", "ErrorCode": "StreamBroken"}))
    (event,) = list(buffer)
    assert event.headers[":exception-type"] == "ModelStreamError"
    assert json.loads(event.payload) == {"Message": "é", "ErrorCode": "StreamBroken"}


def test_boto3_reads_an_answer_as_a_stream(client):
    body = bytes(range(256)) * 4_000
    answer = client.invoke_endpoint_with_response_stream(
        EndpointName="parts",
        Body=body,
        ContentType="application/octet-stream",
        Accept="image/x-parts",
        CustomAttributes="a=1",
        TargetVariant="AllTraffic",
    )
    assert answer["ContentType"] == "image/x-parts"
    assert answer["CustomAttributes"] == "seen=a=1"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]
    assert len(parts) > 1
    assert b"".join(parts) == body * 3


def test_an_error_before_the_stream_is_a_model_error(client):
    with pytest.raises(client.exceptions.ModelError) as failure:
        client.invoke_endpoint_with_response_stream(EndpointName="parts", Body=b"fail")
    assert failure.value.response["OriginalStatusCode"] == 500
    with pytest.raises(ClientError, match="Endpoint nowhere of account"):
        client.invoke_endpoint_with_response_stream(EndpointName="nowhere", Body=b"x")


@pytest.mark.parametrize("end", ["go", "fail"])
def test_boto3_gets_what_a_handler_yields_when_it_yields_it(client, tmp_path, end):
    signal = tmp_path / "signal"
    answer = client.invoke_endpoint_with_response_stream(EndpointName="parts", Body=b"slowly" + bytes(signal))
    stream = iter(answer["Body"])
    assert next(stream)["PayloadPart"]["Bytes"] == b"first"
    (tmp_path / "unfinished").write_text(end)
    (tmp_path / "unfinished").rename(signal)
    if end == "fail":
        with pytest.raises(EventStreamError, match="ModelStreamError"):
            next(stream)
    else:
        assert [event["PayloadPart"]["Bytes"] for event in stream] == [b"last"]
    answer["Body"].close()


def test_a_handler_makes_no_more_parts_when_its_caller_has_hung_up(client, tmp_path):
    made = tmp_path / "made"

    def has_stopped():
        before = made.stat().st_size
        time.sleep(0.5)
        return made.stat().st_size == before

    answer = client.invoke_endpoint_with_response_stream(EndpointName="parts", Body=b"forever" + bytes(made))
    assert next(iter(answer["Body"]))["PayloadPart"]["Bytes"] == b"drop"
    assert not has_stopped()
    answer["Body"].close()
    wait_for(has_stopped, 20, "the end of the parts")


class FakeEndpoint:
    """An endpoint whose container is in the test."""

    def __init__(self, url):
        self.name = "fake"
        self.url = url


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@pytest.fixture
def container():
    """Serves one connection: answers a head and a first chunk, then does what it is given to do."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(then):
        def run():
            connection, _ = listener.accept()
            with connection:
                while b"{}" not in connection.recv(65_536):
                    pass
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ntransfer-encoding: chunked\r\n\r\n")
                connection.sendall(chunk(b"first"))
                then(connection)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return FakeEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")

    yield serve
    for thread in threads:
        thread.join()
    listener.close()


async def invoke(endpoint, stream_seconds=30.0, during=None):
    """The events of an invocation. `during` is awaited with the application beside it."""
    async with httpx.AsyncClient(trust_env=False, timeout=None) as to_container:
        app = Runtime({"fake": endpoint}, to_container, stream_seconds=stream_seconds)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as caller:
            url = "http://runtime/endpoints/fake/invocations-response-stream"
            calls = [caller.post(url, content=b"{}"), *([during(app)] if during else [])]
            answer, *_ = await asyncio.gather(*calls)
    assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert answer.headers["x-amzn-sagemaker-content-type"] == "a/b"
    buffer = EventStreamBuffer()
    buffer.add_data(answer.content)
    return list(buffer)


def test_pieces_are_passed_on_when_they_come(container):
    events = asyncio.run(invoke(container(lambda connection: connection.sendall(chunk(b"last") + chunk(b"")))))
    assert b"".join(event.payload for event in events) == b"firstlast"


def test_a_connection_that_breaks_is_a_stream_error(container):
    first, last = asyncio.run(invoke(container(lambda connection: None)))
    assert first.payload == b"first"
    assert last.headers[":exception-type"] == "ModelStreamError"
    assert json.loads(last.payload)["ErrorCode"] == "StreamBroken"


def test_a_stream_that_takes_too_long_is_a_stream_error(container):
    release = threading.Event()
    _, last = asyncio.run(_released(invoke(container(lambda _: release.wait(20)), 0.3), release))
    assert json.loads(last.payload)["ErrorCode"] == "ModelInvocationTimeExceeded"


def test_a_runtime_that_stops_ends_its_streams(container):
    release = threading.Event()

    async def stop(app):
        while not app._answering:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        await app.give_up(0.1)

    _, last = asyncio.run(_released(invoke(container(lambda _: release.wait(20)), during=stop), release))
    assert last.headers[":exception-type"] == "InternalStreamFailure"


async def _released(work, release):
    try:
        return await work
    finally:
        release.set()


@pytest.fixture
def invoked(monkeypatch):
    """`invoked(endpoint)`: the body of its answer, by a boto3 client through a runtime on a socket."""
    with contextlib.ExitStack() as stack:

        def invoke(endpoint):
            listener = stack.enter_context(bind("127.0.0.1", 0, PORT_TAKEN))
            local = LocalRuntime([endpoint], listener)
            for name, value in local.environment().items():
                monkeypatch.setenv(name, value)
            local.start()
            stack.callback(local.close)
            client = boto3.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))
            return client.invoke_endpoint_with_response_stream(EndpointName="fake", Body=b"{}")["Body"]

        yield invoke


def test_boto3_raises_what_happens_in_the_middle(invoked, container):
    body = invoked(container(lambda connection: None))
    stream = iter(body)
    assert next(stream)["PayloadPart"]["Bytes"] == b"first"
    with pytest.raises(EventStreamError, match=r"ModelStreamError.*closed the connection before the answer's end"):
        next(stream)
    body.close()


def test_a_caller_that_hangs_up_is_noticed_before_the_next_part(invoked, container):
    hung_up = []
    body = invoked(container(lambda connection: hung_up.append(connection.recv(1))))
    assert next(iter(body))["PayloadPart"]["Bytes"] == b"first"
    body.close()
    wait_for(lambda: hung_up == [b""], 10, "the end of the connection to the container")
