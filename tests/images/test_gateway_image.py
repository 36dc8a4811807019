"""The target `gateway`: what is in it, as a container beside a local runtime, and as a function of AWS Lambda."""

from __future__ import annotations

import base64
import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import docker
import httpx
import pytest
from containers import TIME_TO_BUILD, built
from drawing import picture
from emulator import call, emulated, http_event
from moto.server import ThreadedMotoServer
from servers import free_port, wait_for

from pixelserve.local import LocalRuntime, Source, running
from pixelserve_gateway.jobs import ApiKeys, DynamoDBStore

pytestmark = TIME_TO_BUILD
ENDPOINT = "image-super-resolution"
STATE = "/var/lib/pixelserve"
COMMAND = ["python", "-m", "pixelserve_gateway"]
BUCKET = "gateway-results"
REGION = "us-east-1"
INSTALLED = "import importlib.metadata as m, json; print(json.dumps([d.name.lower() for d in m.distributions()]))"
HEAVY = ("torch", "numpy", "cv2", "opencv-python-headless", "onnxruntime", "pillow", "docker")


@pytest.fixture(scope="module")
def image(client: docker.DockerClient) -> str:
    return built(client, target="gateway")


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRuntime]:
    with running([Source.parse(ENDPOINT)]) as made:
        yield made


@pytest.fixture(scope="module")
def photo() -> bytes:
    return cv2.imencode(".png", picture(30, 40))[1].tobytes()


def is_enlarged(content: bytes) -> bool:
    return content.startswith(b"\x89PNG") and content[16:24] == bytes([0, 0, 0, 80, 0, 0, 0, 60])


def test_it_holds_no_model_and_no_pixels(client: docker.DockerClient, image: str) -> None:
    size = client.images.get(image).attrs["Size"]
    print(f"{image}: {size / 1e6:.0f} MB")  # noqa: T201
    names = json.loads(client.containers.run(image, ["-c", INSTALLED], entrypoint="python", remove=True))
    assert "pixelserve" in names
    assert set(names).isdisjoint(HEAVY)
    find = f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])"
    assert client.containers.run(image, ["-c", find], entrypoint="python", remove=True).strip() == b"[]"


@contextlib.contextmanager
def contained(client: docker.DockerClient, image: str, volume: str, runtime: str) -> Iterator[tuple[Any, httpx.Client]]:
    """The image as a container on the host's network with a root that is read-only, and a client of it."""
    port = free_port()
    container = client.containers.run(
        image,
        environment={"PIXELSERVE_GATEWAY_PORT": str(port), "PIXELSERVE_GATEWAY_RUNTIME": runtime},
        volumes={volume: {"bind": STATE}},
        network_mode="host",
        read_only=True,
        tmpfs={"/tmp": ""},
        detach=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as caller:
            wait_for(lambda: _is_healthy(container, caller), what="the gateway's container")
            yield container, caller
    finally:
        container.remove(force=True)


def _is_healthy(container: Any, caller: httpx.Client) -> bool:
    container.reload()
    assert container.status != "exited", container.logs().decode()
    try:
        return caller.get("/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def volume(client: docker.DockerClient) -> Iterator[str]:
    made = client.volumes.create(f"pixelserve-test-{uuid.uuid4().hex[:8]}")
    yield made.name
    made.remove(force=True)


def test_a_container_asks_for_a_key_that_its_own_command_makes(
    client: docker.DockerClient, image: str, volume: str, local: LocalRuntime, photo: bytes
) -> None:
    content = {"Content-Type": "image/png"}
    with contained(client, image, volume, local.url) as (container, caller):
        assert caller.post("/v1/super-resolution", content=photo, headers=content).status_code == 401
        code, (key, _) = container.exec_run(["pixelserve", "keys", "make", "alice"], demux=True)
        assert code == 0
        shown = content | {"Authorization": f"Bearer {key.decode().strip()}"}
        answer = caller.post("/v1/super-resolution", content=photo, headers=shown)
        assert answer.status_code == 200, answer.text
        assert is_enlarged(answer.content)
        job = caller.post("/v1/jobs", headers=shown | {"Content-Type": "application/json"}, content=order(photo)).json()
        container.stop(timeout=40)
        assert container.wait()["StatusCode"] == 0
    with contained(client, image, volume, local.url) as (_, caller):  # another container, on the same volume

        def ended() -> dict[str, Any] | None:
            told: dict[str, Any] = caller.get(f"/v1/jobs/{job['id']}", headers=shown).json()
            return told if told["state"] == "succeeded" else None

        told = wait_for(ended, what="the job")
        link = httpx.URL(told["result"]["url"])  # of the address that began the job
        assert is_enlarged(caller.get(link.raw_path.decode()).content)


def order(photo: bytes) -> bytes:
    """A job's request."""
    wish = {"img": base64.b64encode(photo).decode(), "scale": 2}
    return json.dumps({"feature": "super-resolution", "input": wish, "accept": "image/png"}).encode()


def test_without_a_place_to_call_it_says_what_is_missing(client: docker.DockerClient, image: str) -> None:
    with pytest.raises(docker.errors.ContainerError) as raised:
        client.containers.run(image, remove=True)
    assert b"AWS credentials" in raised.value.stderr


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """moto as DynamoDB and S3, by the environment of what calls it; a table `gateway` and a bucket are there."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        httpx.put(f"http://{host}:{port}/{BUCKET}", trust_env=False)
        yield environ
    server.stop()


@pytest.fixture(scope="module")
def store(aws: dict[str, str]) -> Iterator[DynamoDBStore]:
    with contextlib.closing(DynamoDBStore("gateway")) as made:
        made.create_table()
        yield made


@pytest.fixture(scope="module")
def function(
    client: docker.DockerClient,
    emulator: Path,
    image: str,
    local: LocalRuntime,
    aws: dict[str, str],
    store: DynamoDBStore,
) -> Iterator[httpx.Client]:
    environ = aws | {
        "PIXELSERVE_GATEWAY_RUNTIME": local.url,
        "PIXELSERVE_GATEWAY_TABLE": "gateway",
        "PIXELSERVE_GATEWAY_RESULTS": f"s3://{BUCKET}/results",
        "PIXELSERVE_GATEWAY_PUBLIC_URL": "https://gateway.example",
    }
    with emulated(client, emulator, image, COMMAND, environ) as caller:
        yield caller


@pytest.fixture(scope="module")
def key(store: DynamoDBStore) -> str:
    text, _ = ApiKeys(store).make("alice", [], 0.0, None)
    return text


def test_a_function_answers_requests_with_a_key(function: httpx.Client, key: str, photo: bytes) -> None:
    event = http_event(photo, path="/v1/super-resolution", content_type="image/png", accept="image/png")
    assert call(function, event)["statusCode"] == 401
    event["headers"]["authorization"] = f"Bearer {key}"
    answer = call(function, event)
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "image/png")
    assert answer["isBase64Encoded"] is True
    assert is_enlarged(base64.b64decode(answer["body"]))


def test_a_rest_event_of_api_gateway(function: httpx.Client, key: str, photo: bytes) -> None:
    body = {"img": base64.b64encode(photo).decode(), "scale": 2}
    event = {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "path": "/image_super_resolution",
        "headers": {"x-api-key": key, "Content-Type": "application/json"},
        "multiValueHeaders": {"x-api-key": [key], "Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "prod", "identity": {"sourceIp": "192.0.2.1"}},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
    answer = call(function, event)
    assert answer["statusCode"] == 200, answer
    assert is_enlarged(base64.b64decode(json.loads(answer["body"])["result"]))


def test_a_schedule_does_the_work_of_a_job(function: httpx.Client, key: str, photo: bytes) -> None:
    """Nothing works in the background on Lambda: the job waits until the schedule calls."""
    headers = {"authorization": f"Bearer {key}", "content_type": "application/json"}
    begun = call(function, http_event(order(photo), path="/v1/jobs", **headers))
    assert begun["statusCode"] == 202, begun
    look = http_event(method="GET", path=f"/v1/jobs/{json.loads(begun['body'])['id']}", **headers)
    assert json.loads(call(function, look)["body"])["state"] == "queued"
    assert call(function, {"source": "aws.events", "detail-type": "Scheduled Event"}) is None
    told = json.loads(call(function, look)["body"])
    assert told["state"] == "succeeded"
    path, _, query = told["result"]["url"].removeprefix("https://gateway.example").partition("?")
    answer = call(function, http_event(method="GET", path=path) | {"rawQueryString": query})
    assert answer["statusCode"] in (302, 303, 307), answer
    assert is_enlarged(httpx.get(answer["headers"]["location"], trust_env=False).content)


def test_messages_of_a_queue_are_read(function: httpx.Client) -> None:
    record = {"eventSource": "aws:sqs", "messageId": "1", "body": "no JSON"}
    assert call(function, {"Records": [record]}) is None


@pytest.mark.parametrize("event", [None, 5, {}, {"Records": [{"eventSource": "aws:s3"}]}, {"source": "mine"}])
def test_other_events_are_refused(function: httpx.Client, event: object) -> None:
    answer = call(function, event)
    assert answer["errorType"] == "BadRequest"
    assert "no SQS messages" in answer["errorMessage"]
