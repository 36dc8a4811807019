"""Asynchronous invocations over real connections: boto3 and the SageMaker SDK against moto's S3, and folders."""

import io
import json
import warnings
from pathlib import Path

import boto3
import httpx
import local_handlers as handlers
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from servers import wait_for

from pixelserve.errors import BadRequest
from pixelserve.local import Source
from pixelserve.local.asynchronous import CONCURRENCY, QUEUE_LENGTH, AsyncPlaces
from pixelserve.local.runtime import running
from pixelserve.storage import Folder, place

with warnings.catch_warnings():  # the SDK and what it imports warn of their own ends
    warnings.simplefilter("ignore")
    import sagemaker
    from sagemaker.deserializers import NumpyDeserializer
    from sagemaker.exceptions import AsyncInferenceModelError
    from sagemaker.predictor import Predictor
    from sagemaker.predictor_async import AsyncPredictor
    from sagemaker.serializers import NumpySerializer

ADDER = "def model_fn(model_dir):\n    return 1\n\ndef predict_fn(data, model):\n    return data + model\n"
SLOW = """
import time
from pathlib import Path

def model_fn(model_dir):
    return None

def predict_fn(data, model, context):
    Path(str(data)).touch()
    while not Path(f"{data}.go").exists():
        context.check()
        time.sleep(0.01)
    return "done"
"""
STEPS = """
from pathlib import Path
import time

def model_fn(model_dir):
    return model_dir

def predict_fn(data, model, context):
    context.progress(1, 4)
    while not Path(model, "go").exists():
        context.check()
        time.sleep(0.01)
    return "done"
"""
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def runtime(moto, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL_S3": moto,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        folder = tmp_path_factory.mktemp("handlers")
        sources = [
            Source("doubler", handlers.write(folder / "doubler", handlers.DOUBLER)),
            Source("adder", handlers.write(folder / "adder", ADDER)),
        ]
        places = AsyncPlaces(place("s3://bucket/out"), [place("s3://bucket/in")])
        with running(sources, places=places) as local:
            for name, value in local.environment().items():
                patch.setenv(name, value)
            yield local


@pytest.fixture
def s3(runtime):
    return boto3.client("s3")


@pytest.fixture
def client(runtime):
    return boto3.client("sagemaker-runtime", config=ONCE)


def stored(s3, url):
    """The object at the URL, as soon as it is there."""
    bucket, _, key = url.removeprefix("s3://").partition("/")

    def get():
        try:
            answer = s3.get_object(Bucket=bucket, Key=key)
        except s3.exceptions.NoSuchKey:
            return None
        return answer["Body"].read(), answer["ContentType"]

    return wait_for(get, what=url)


def test_the_output_is_stored_where_the_answer_says(client, s3):
    s3.put_object(Bucket="bucket", Key="in/a é.json", Body=b'{"value": 21}')
    answer = client.invoke_endpoint_async(
        EndpointName="doubler-async",
        InputLocation="s3://bucket/in/a é.json",
        ContentType="application/json",
        Accept="application/json",
        CustomAttributes="scale=4",
        RequestTTLSeconds=60,
        InvocationTimeoutSeconds=3600,
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["OutputLocation"] == f"s3://bucket/out/{answer['InferenceId']}.out"
    assert answer["FailureLocation"] == f"s3://bucket/out/{answer['InferenceId']}-error.out"
    assert stored(s3, answer["OutputLocation"]) == (b"42", "application/json")


def test_the_request_may_hold_its_input_and_its_id(client, s3):
    answer = client.invoke_endpoint_async(
        EndpointName="doubler-async", Body=b'{"value": "x"}', ContentType="application/json", InferenceId="mine: 1"
    )
    assert answer["InferenceId"] == "mine: 1"
    assert stored(s3, answer["OutputLocation"])[0] == b"xx"


def test_the_output_has_the_name_and_the_folder_of_the_request(client, s3):
    answer = client.invoke_endpoint_async(
        EndpointName="doubler-async",
        Body=b"x",
        ContentType="application/octet-stream",
        Filename="mine.bin",
        S3OutputPathExtension="/day-1/of_(two)/",
    )
    assert answer["OutputLocation"] == "s3://bucket/out/day-1/of_(two)/mine.bin"
    assert answer["FailureLocation"] == f"s3://bucket/out/{answer['InferenceId']}-error.out"
    assert stored(s3, answer["OutputLocation"])[0] == b"xx"


def test_an_inline_input_may_have_128_000_bytes(client, s3):
    answer = client.invoke_endpoint_async(
        EndpointName="doubler-async", Body=bytes(128_000), ContentType="application/octet-stream"
    )
    assert len(stored(s3, answer["OutputLocation"])[0]) == 256_000


def test_the_containers_error_body_is_the_failure_file(client, s3):
    answer = client.invoke_endpoint_async(EndpointName="doubler-async", Body=b"{}", ContentType="application/json")
    body, content_type = stored(s3, answer["FailureLocation"])
    failure = json.loads(body)
    assert content_type == "application/json"
    assert failure["error"]["code"] == "handler_error"
    assert failure["request_id"] == answer["InferenceId"]


def test_an_input_that_is_not_there_is_a_failure_file(client, s3):
    answer = client.invoke_endpoint_async(EndpointName="doubler-async", InputLocation="s3://bucket/in/none")
    error = json.loads(stored(s3, answer["FailureLocation"])[0])["error"]
    assert (error["code"], error["message"]) == ("not_found", "There is no s3://bucket/in/none.")


def test_an_input_that_is_too_large_is_a_failure_file(client, s3):
    s3.put_object(Bucket="bucket", Key="in/large", Body=bytes(25_000_001))
    answer = client.invoke_endpoint_async(EndpointName="doubler-async", InputLocation="s3://bucket/in/large")
    assert json.loads(stored(s3, answer["FailureLocation"])[0])["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give the input as InputLocation or as the body"),
        ({"InputLocation": "s3://bucket/in/x", "Body": b"x"}, "one of the two"),
        (
            {"InputLocation": "s3://other/x"},
            "InputLocation s3://other/x is not below s3://bucket/in/ or s3://bucket/out/",
        ),
        ({"InputLocation": "s3://bucket/inner/x"}, "is not below"),
        ({"InputLocation": "s3://bucket/in/"}, "is not below"),
        ({"InputLocation": "file:///etc/passwd"}, "pixelserve up --async-input PLACE"),
        ({"InputLocation": "https://bucket/in/x"}, "is not below"),
        ({"InputLocation": "x"}, "is not below"),
        ({"InputLocation": "file://[x"}, "is not below"),
        ({"InputLocation": "file:///%00"}, "is not below"),
        ({"Body": bytes(128_001)}, "larger than 128,000 bytes"),
        ({"Body": b"x", "RequestTTLSeconds": 21_601}, "RequestTTLSeconds is not a number of 60 to 21,600"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, "InvocationTimeoutSeconds is not a number of 1 to 3,600"),
        ({"Body": b"x", "InferenceId": "i" * 65}, "InferenceId is longer than 64"),
        ({"Body": b"x", "Filename": "a.b.out"}, "Filename 'a.b.out' is no value of up to 32 characters"),
        ({"Body": b"x", "Filename": "a/b"}, "Filename 'a/b' is no value"),
        ({"Body": b"x", "S3OutputPathExtension": "s3://bucket/x"}, "S3OutputPathExtension 's3://bucket/x' is no value"),
        ({"Body": b"x", "S3OutputPathExtension": "a" * 513}, "is no value of up to 512 characters"),
        ({"Body": b"x", "CustomAttributes": "a" * 1025}, "CustomAttributes is longer than 1,024"),
        ({"Body": b"x", "EndpointName": "nowhere"}, "Endpoint nowhere of account"),
    ],
)
def test_what_the_service_would_not_take_is_a_validation_error(client, arguments, message):
    with pytest.raises(ClientError) as failure:
        client.invoke_endpoint_async(**{"EndpointName": "doubler-async", **arguments})
    error = failure.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert message in error["Message"]


@pytest.mark.filterwarnings("ignore::sagemaker.deprecations.SageMakerV2DeprecationWarning")
def test_the_sdk_predicts_asynchronously(client, s3):
    session = sagemaker.Session(sagemaker_runtime_client=client, default_bucket="not-used")
    session.s3_client = s3
    plain = Predictor(
        "adder-async", sagemaker_session=session, serializer=NumpySerializer(), deserializer=NumpyDeserializer()
    )
    predictor = AsyncPredictor(plain)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    file = io.BytesIO()
    np.save(file, array)
    s3.put_object(Bucket="bucket", Key="in/a.npy", Body=file.getvalue(), ContentType="application/x-npy")
    response = predictor.predict_async(input_path="s3://bucket/in/a.npy")
    stored(s3, response.output_path)  # the SDK's own way to wait leaves threads behind
    np.testing.assert_array_equal(response.get_result(), array + 1)
    uploaded = predictor.predict_async(data=array * 2, input_path="s3://bucket/in/b.npy")
    stored(s3, uploaded.output_path)
    np.testing.assert_array_equal(uploaded.get_result(), array * 2 + 1)
    s3.put_object(Bucket="bucket", Key="in/bad.npy", Body=b"not NPY", ContentType="application/x-npy")
    failed = predictor.predict_async(input_path="s3://bucket/in/bad.npy")
    stored(s3, failed.failure_path)
    with pytest.raises(AsyncInferenceModelError):
        failed.get_result()


def invoke(local, **arguments):
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=local.url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=ONCE,
    )
    return runtime.invoke_endpoint_async(ContentType="application/json", **arguments)


def wait_for_file(url):
    folder = Folder(place_of(url).parent)
    return wait_for(lambda: place_of(url).exists() and folder.read(place_of(url).name, 1000)[0], what=url)


def place_of(url):
    return Path(url.removeprefix("file://"))


def test_folders_serve_in_the_place_of_buckets(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ä.json").write_text('{"value": 2}')
    (tmp_path / "secret").write_text("1")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    source = Source("doubler", handlers.write(tmp_path / "doubler", handlers.DOUBLER))
    places = AsyncPlaces(Folder(tmp_path / "out"), [Folder(tmp_path / "in")])
    with running([source], places=places) as local:
        answer = invoke(local, EndpointName="doubler-async", InputLocation=(tmp_path / "in" / "ä.json").as_uri())
        assert answer["OutputLocation"].startswith(f"{(tmp_path / 'out').as_uri()}/")
        assert wait_for_file(answer["OutputLocation"]) == b"4"
        too_long = f"{(tmp_path / 'in').as_uri()}/{'x' * 300}"
        answer = invoke(local, EndpointName="doubler-async", InputLocation=too_long)
        assert b"File name too long" in wait_for_file(answer["FailureLocation"])
        for outside in ("secret", "in/../secret", "in/%2e%2e/secret", "in/link"):
            with pytest.raises(ClientError, match="is not below"):
                invoke(local, EndpointName="doubler-async", InputLocation=f"{tmp_path.as_uri()}/{outside}")


def test_nothing_is_lost_at_the_end_and_a_full_queue_throttles(tmp_path):
    source = Source("slow", handlers.write(tmp_path / "slow", SLOW))
    with running([source], places=AsyncPlaces(Folder(tmp_path / "out"))) as local:
        timed_out = invoke(
            local, EndpointName="slow-async", Body=json.dumps(str(tmp_path / "0")).encode(), InvocationTimeoutSeconds=1
        )
        assert b"timed out" in wait_for_file(timed_out["FailureLocation"])
        begun = [tmp_path / f"begun{number}" for number in range(CONCURRENCY)]
        answers = [invoke(local, EndpointName="slow-async", Body=json.dumps(str(path)).encode()) for path in begun]
        wait_for(begun[0].exists)
        answers += [invoke(local, EndpointName="slow-async", Body=b'"x"') for _ in range(QUEUE_LENGTH - CONCURRENCY)]
        with pytest.raises(ClientError, match="slow holds 256 invocations") as failure:
            invoke(local, EndpointName="slow-async", Body=b'"x"')
        assert failure.value.response["Error"]["Code"] == "ThrottlingException"
    for answer in answers:
        assert not place_of(answer["OutputLocation"]).exists()
        error = json.loads(place_of(answer["FailureLocation"]).read_bytes())
        assert error["error"]["code"] == "draining"
        assert error["request_id"] == answer["InferenceId"]


def test_what_kills_its_worker_is_lost_and_nothing_else(tmp_path):
    source = Source("frail", handlers.write(tmp_path / "frail", handlers.FRAIL))
    with running([source], places=AsyncPlaces(Folder(tmp_path / "out"))) as local:
        answers = [invoke(local, EndpointName="frail-async", Body=b"%d" % number) for number in range(40)]
        for number, answer in enumerate(answers):
            if number == 13:
                error = json.loads(wait_for_file(answer["FailureLocation"]))["error"]
                assert (error["code"], error["retryable"]) == ("worker_lost", True)
            else:
                assert json.loads(wait_for_file(answer["OutputLocation"])) == number


def test_an_output_that_cannot_be_written_is_logged(tmp_path, caplog):
    source = Source("doubler", handlers.write(tmp_path / "doubler", handlers.DOUBLER))
    (tmp_path / "out").write_text("no folder")
    with running([source], places=AsyncPlaces(Folder(tmp_path / "out"))) as local:
        answer = invoke(local, EndpointName="doubler-async", Body=b'{"value": 2}')
        wait_for(lambda: f"{answer['InferenceId']}.out is lost: Cannot write" in caplog.text)


def test_a_runtime_without_a_place_says_what_it_needs(tmp_path):
    source = Source("doubler", handlers.write(tmp_path / "doubler", handlers.DOUBLER))
    with running([source]) as local, pytest.raises(ClientError, match="pixelserve up --async-output PLACE"):
        invoke(local, EndpointName="doubler-async", Body=b"1")


def test_an_output_place_must_fit_into_a_header(tmp_path):
    assert AsyncPlaces(Folder(tmp_path / "ä")).output.url("x").endswith("%C3%A4/x")
    with pytest.raises(BadRequest, match="is not ASCII"):
        AsyncPlaces(place("s3://bucket/ä"))


def test_an_endpoint_is_real_time_or_asynchronous(client):
    with pytest.raises(ClientError, match=r"doubler is not asynchronous\. Its asynchronous one is doubler-async\."):
        client.invoke_endpoint_async(EndpointName="doubler", Body=b"1")
    with pytest.raises(ClientError, match=r"doubler-async is asynchronous\. Its real-time one is doubler\."):
        client.invoke_endpoint(EndpointName="doubler-async", Body=b"1")


def test_the_progress_that_a_handler_tells_can_be_looked_at(tmp_path):
    folder = handlers.write(tmp_path / "steps", STEPS)
    places = AsyncPlaces(Folder(tmp_path / "out"))
    with running([Source("steps", folder, model_dir=tmp_path)], places=places) as local:
        invoke(local, EndpointName="steps-async", Body=b"1", InferenceId="a")

        def look():
            return httpx.get(f"{local.url}/async-invocations/a", trust_env=False).json()

        wait_for(lambda: look() == {"state": "running", "progress": 0.25})
        (tmp_path / "go").touch()
        wait_for(lambda: look() == {"state": "succeeded"})


def test_the_state_of_an_invocation_can_be_looked_at(runtime, client, s3):
    client.invoke_endpoint_async(
        EndpointName="doubler-async", Body=b'{"value": 2}', ContentType="application/json", InferenceId="look/1"
    )
    client.invoke_endpoint_async(
        EndpointName="doubler-async", Body=b"{}", ContentType="application/json", InferenceId="look 2"
    )

    def state(quoted):
        return httpx.get(f"{runtime.url}/async-invocations/{quoted}", trust_env=False).json()["state"]

    wait_for(lambda: state("look%2F1") == "succeeded")
    wait_for(lambda: state("look%202") == "failed")
    unknown = httpx.get(f"{runtime.url}/async-invocations/x", trust_env=False)
    assert (unknown.status_code, unknown.headers["x-amzn-errortype"]) == (400, "ValidationError")
