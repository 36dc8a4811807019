"""The local SageMaker Runtime with the clients people use: boto3, the SageMaker SDK, plain HTTP."""

import asyncio
import json
import os
import signal
import socket
import threading
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import httpx
import local_handlers as handlers
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from pixelserve.callers import Arrivals, ArrivalsMiddleware
from pixelserve.errors import Unavailable
from pixelserve.local import Source
from pixelserve.local.runtime import PORT_TAKEN, LocalRuntime, Runtime, running
from pixelserve.processes import ServerFailed
from pixelserve.wire import bind

with warnings.catch_warnings():  # the SDK and what it imports warn of their own ends
    warnings.simplefilter("ignore")
    import sagemaker
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.predictor import Predictor
    from sagemaker.serializers import JSONSerializer


OPERATIONS = {
    "invoke_endpoint": "InvokeEndpoint",
    "invoke_endpoint_with_response_stream": "InvokeEndpointWithResponseStream",
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    folder = handlers.write(tmp_path_factory.mktemp("handlers") / "doubler", handlers.DOUBLER)
    with running([Source("doubler", folder)]) as local:
        yield local


@pytest.fixture
def client(runtime, monkeypatch):
    for name, value in runtime.environment().items():
        monkeypatch.setenv(name, value)
    return boto3.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))


def test_boto3_invokes_an_endpoint(client):
    answer = client.invoke_endpoint(
        EndpointName="doubler",
        Body=b'{"value": 21}',
        ContentType="application/json",
        Accept="application/json",
        CustomAttributes="scale=4;target=2k",
        InferenceId="a-1",
        TargetVariant="AllTraffic",
    )
    assert json.loads(answer["Body"].read()) == 42
    assert answer["ContentType"] == "application/json"
    assert answer["CustomAttributes"] == "seen=scale=4;target=2k"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert len(answer["ResponseMetadata"]["RequestId"]) == 36


def test_boto3_gets_megabytes_back_unchanged(client):
    body = bytes(range(256)) * 20_000
    answer = client.invoke_endpoint(EndpointName="doubler", Body=body, ContentType="application/octet-stream")
    assert answer["Body"].read() == body * 2


@pytest.mark.filterwarnings("ignore::sagemaker.deprecations.SageMakerV2DeprecationWarning")
def test_the_sdk_predicts(client):
    session = sagemaker.Session(
        boto_session=boto3.Session(), sagemaker_runtime_client=client, default_bucket="not-used"
    )
    predictor = Predictor(
        "doubler", sagemaker_session=session, serializer=JSONSerializer(), deserializer=JSONDeserializer()
    )
    assert predictor.predict({"value": 4}) == 8
    assert predictor.predict({"value": [1]}, custom_attributes="x=1") == [1, 1]


def test_an_error_of_the_container_is_a_model_error(client):
    with pytest.raises(client.exceptions.ModelError) as failure:
        client.invoke_endpoint(EndpointName="doubler", Body=b"{}", ContentType="application/json")
    answer = failure.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 500
    error = json.loads(answer["OriginalMessage"])
    assert error["error"]["code"] == "handler_error"
    assert error["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert answer["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/doubler")
    assert answer["Error"]["Message"].startswith('Received server error (500) from primary with message "{')


def test_an_unknown_endpoint_is_a_validation_error_that_lists_those_there_are(client):
    with pytest.raises(ClientError) as failure:
        client.invoke_endpoint(EndpointName="nowhere", Body=b"{}")
    error = failure.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert error["Message"] == "Endpoint nowhere of account 000000000000 not found. Endpoints here: doubler."


def test_an_unknown_endpoint_is_told_to_a_caller_with_a_large_body(client):
    with pytest.raises(ClientError, match="Endpoint nowhere of account"):
        client.invoke_endpoint(EndpointName="nowhere", Body=bytes(20_000_000))


def test_a_body_above_25_mb_is_refused(client):
    with pytest.raises(ClientError, match=r"Request Entity Too Large.*25,000,000") as failure:
        client.invoke_endpoint(EndpointName="doubler", Body=bytes(25_000_001), ContentType="application/octet-stream")
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"TargetModel": "model.tar.gz"}, "TargetModel is given, but endpoint doubler is not a multi-model endpoint"),
        ({"TargetVariant": "blue"}, "Variant blue not found for endpoint doubler. Its only variant is AllTraffic."),
        ({"TargetContainerHostname": "second"}, "TargetContainerHostname is given, but endpoint doubler has one"),
        ({"InferenceComponentName": "part"}, "InferenceComponentName is given, but endpoint doubler has no"),
        ({"EnableExplanations": "`true`"}, "EnableExplanations is given, but endpoint doubler has no explainer"),
        ({"SessionId": "NEW_SESSION"}, "SessionId is given, but endpoint doubler has no stateful sessions"),
        ({"CustomAttributes": "a" * 1025}, "CustomAttributes is longer than 1,024 characters"),
        ({"CustomAttributes": "caf\xe9"}, "CustomAttributes holds something else than visible ASCII"),
        ({"CustomAttributes": "a\tb"}, "CustomAttributes holds something else than visible ASCII"),
        ({"ContentType": "a/" + "b" * 1024}, "ContentType is longer than 1,024 characters"),
        ({"InferenceId": "i" * 65}, "InferenceId is longer than 64 characters"),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_such_an_endpoint_does_not_take_is_a_validation_error(client, operation, arguments, message):
    if (
        not arguments.keys()
        <= client.meta.service_model.operation_model(OPERATIONS[operation]).input_shape.members.keys()
    ):
        return  # the operation has no such member
    with pytest.raises(ClientError) as failure:
        getattr(client, operation)(**{"EndpointName": "doubler", "Body": b"x"}, **arguments)
    answer = failure.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert message in answer["Error"]["Message"]


def test_1024_visible_ascii_characters_are_attributes(client):
    attributes = " ~".join(["!"] * 400)[:1017] + "@"
    answer = client.invoke_endpoint(EndpointName="doubler", Body=b"{}", CustomAttributes=attributes, ContentType="a/b")
    assert answer["CustomAttributes"] == "seen=" + attributes


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "rebind.evil.example"},
        {"host": "rebind.evil.example:80"},
    ],
)
def test_a_browser_cannot_call_it_for_a_page_from_elsewhere(runtime, headers):
    answer = httpx.post(f"{runtime.url}/endpoints/doubler/invocations", json={}, headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert "127.0.0.1 or localhost" in answer.json()["Message"]
    assert httpx.get(f"{runtime.url}/", headers=headers, trust_env=False).status_code == 403


def test_localhost_may_call_it(runtime):
    url = runtime.url.replace("127.0.0.1", "localhost")
    assert httpx.get(f"{url}/ping", headers={"origin": "http://localhost:8888"}, trust_env=False).status_code == 200


def test_the_overview_lists_the_endpoints(runtime):
    overview = httpx.get(runtime.url, trust_env=False).json()
    assert overview["endpoints"] == {"doubler": {"state": "ready", "reason": ""}}
    assert httpx.get(f"{runtime.url}/ping", trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["/endpoints/doubler", "/endpoints/doubler/other", "/models"])
def test_other_routes_are_told(runtime, path):
    answer = httpx.post(f"{runtime.url}{path}", trust_env=False)
    assert answer.status_code == 404
    assert "POST /endpoints/NAME/invocations" in answer.json()["Message"]


def test_a_failed_start_stops_all_and_tells_why(tmp_path):
    sources = [
        Source("doubler", handlers.write(tmp_path / "doubler", handlers.DOUBLER)),
        Source("broken", handlers.write(tmp_path / "broken", handlers.BROKEN)),
    ]
    with pytest.raises(ServerFailed, match="broken: The model did not load"), running(sources):
        pass


def test_a_dead_container_is_service_unavailable(tmp_path):
    with running([Source("doubler", handlers.write(tmp_path, handlers.DOUBLER))]) as local:
        server = local.endpoints["doubler"].server
        os.kill(server.pid, signal.SIGKILL)
        server.wait(10)
        _wait_until_refused(local.endpoints["doubler"].url)
        answer = httpx.post(f"{local.url}/endpoints/doubler/invocations", json={"value": 1}, trust_env=False)
        overview = httpx.get(local.url, trust_env=False).json()
    assert answer.status_code == 503
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailable"
    assert "signal 9" in answer.json()["Message"]
    assert overview["endpoints"]["doubler"]["state"] == "failed"


def _wait_until_refused(url):
    for _ in range(200):
        try:
            httpx.get(f"{url}/ping", timeout=0.1, trust_env=False)
        except httpx.ConnectError:
            return
        except httpx.TransportError:
            pass
    pytest.fail("the dead server's port still answers")


def test_a_taken_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"Cannot listen on 127.0.0.1:{port}: .* --port"):
            bind("127.0.0.1", port, PORT_TAKEN)


class FakeEndpoint:
    """An endpoint whose container is in the test: what the real server never does can be answered here."""

    def __init__(self, url):
        self.name = "fake"
        self.url = url

    def check_alive(self):
        """It lives as long as the test."""


@contextmanager
def fake_container(answer):
    """Serves `answer(request handler)` on every POST; yields its address and the headers it got."""
    seen = []

    class Container(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append({key.lower(): value for key, value in self.headers.items()})
            self.rfile.read(int(self.headers["content-length"]))
            answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Container) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


async def invoke(url, seconds=60.0, headers=None):
    async with httpx.AsyncClient(trust_env=False, timeout=None) as to_container:
        app = Runtime({"fake": FakeEndpoint(url)}, to_container, seconds)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as caller:
            return await caller.post("http://runtime/endpoints/fake/invocations", content=b"{}", headers=headers)


def test_only_the_contracts_headers_pass_both_ways():
    def answer(request):
        request.send_response(200)
        for key, value in {"content-type": "a/b", "retry-after": "9", "x-own": "1", "content-length": "2"}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(b"ok")

    given = {"content-type": "c/d", "x-own": "1", "authorization": "AWS4", "x-amzn-sagemaker-inference-id": "i"}
    with fake_container(answer) as (url, seen):
        got = asyncio.run(invoke(url, headers=given))
    assert got.content == b"ok"
    assert got.headers["content-type"] == "a/b"
    assert not {"retry-after", "x-own"} & set(got.headers)
    assert seen[0]["content-type"] == "c/d"
    assert seen[0]["x-amzn-sagemaker-inference-id"] == "i"
    assert not {"x-own", "authorization"} & set(seen[0])


@pytest.mark.parametrize("status", [302, 400, 404, 413, 429, 500, 503, 507])
def test_every_other_status_becomes_424(status):
    def answer(request):
        request.send_response(status)
        request.send_header("retry-after", "5")
        request.send_header("content-length", "3")
        request.end_headers()
        request.wfile.write(b"why")

    with fake_container(answer) as (url, _):
        got = asyncio.run(invoke(url))
    assert got.status_code == 424
    assert "retry-after" not in got.headers
    assert got.json()["OriginalStatusCode"] == status
    assert got.json()["OriginalMessage"] == "why"
    assert ("client error" in got.json()["Message"]) == (400 <= status < 500)


def test_an_invocation_that_takes_too_long_is_a_model_error():
    release = threading.Event()
    with fake_container(lambda _: release.wait(20)) as (url, _):
        got = asyncio.run(invoke(url, seconds=0.2))
        release.set()
    assert got.status_code == 424
    assert got.json()["OriginalStatusCode"] == 0
    assert "timed out" in got.json()["OriginalMessage"]


def test_a_container_that_hangs_up_is_a_model_error():
    with fake_container(lambda request: request.connection.close()) as (url, _):
        got = asyncio.run(invoke(url))
    assert got.status_code == 424
    assert "closed the connection" in got.json()["OriginalMessage"]


def test_where_bodies_have_no_room_it_is_told_when_to_try_again():
    async def refused():
        app = ArrivalsMiddleware(Runtime({"fake": FakeEndpoint("")}, None), Arrivals(60.0, 1, 100, 0, Unavailable))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as caller:
            return await caller.post("http://runtime/endpoints/fake/invocations", content=b"{}")

    got = asyncio.run(refused())
    assert (got.status_code, got.headers["x-amzn-errortype"], got.headers["retry-after"]) == (503, "Unavailable", "1")


def test_the_addresses_of_ipv6_are_written_in_brackets():
    with bind("::1", 0, PORT_TAKEN) as listener:
        assert LocalRuntime([], listener).url.startswith("http://[::1]:")
