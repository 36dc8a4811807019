"""Many files at once: `invoke` with folders, here and on AWS (moto and the local runtime), and what picks the way."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from ci_deploy import draw_picture
from moto.server import ThreadedMotoServer
from servers import wait_for
from test_ci_deploy import Several
from test_cli import up

from pixelserve.errors import BadRequest, Unavailable
from pixelserve.local import Outcome
from pixelserve.processes import Stop
from pixelserve.storage import Folder
from pixelserve_deploy import cli
from pixelserve_deploy.calls import Load, Way, choose_way, list_items, load_of, select_undone, send_items
from pixelserve_deploy.calls.folders import AHEAD
from pixelserve_deploy.calls.senders import InvocationFailed
from pixelserve_deploy.deployment import Mode

UPPER = """
from pixelserve.errors import BadRequest

PIPELINE = True

def model_fn(model_dir):
    return None

def input_fn(body, content_type, context):
    if b"bad" in body:
        raise BadRequest("This one is bad. Leave it out.")
    return body.decode(), context.custom_attributes

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction[0].upper() + prediction[1], "text/csv"
"""
ROLE = "arn:aws:iam::123456789012:role/sagemaker"
IMAGE = "123456789012.dkr.ecr.us-east-2.amazonaws.com/pixelserve:1"


def write_texts(folder: Path, count: int) -> Path:
    for number in range(count):
        file = folder / f"{number % 7}" / f"{number:04}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text {number}")
    return folder


def read_all(folder: Path) -> dict[str, str]:
    return {name: Folder(folder).read(name, 10_000)[0].decode() for name in Folder(folder).names() if name[0] != "_"}


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper" / "inference.py").write_text(UPPER)
    return tmp_path / "upper"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELSERVE_STATE_DIR", str(tmp_path / "state"))


def send(paths: list[Path], target: Folder, ask: Callable[[bytes, str], tuple[bytes, str]], at_once: int = 4) -> Any:
    outcomes: list[Outcome] = []
    undone = select_undone(list_items(paths), target, ".out", overwrite=False)
    return send_items(undone, target, ".out", ask, at_once, outcomes.append, Stop()), outcomes


def test_no_more_are_in_work_than_may_be_and_outcomes_come_in_order(tmp_path: Path) -> None:
    items = write_texts(tmp_path / "in", 60)
    lock, now, most = threading.Lock(), 0, 0

    def ask(data: bytes, name: str) -> tuple[bytes, str]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02 if name.endswith("0.csv") else 0.001)  # some are overtaken
        with lock:
            now -= 1
        return data.upper(), "text/csv"

    report, outcomes = send([items], Folder(tmp_path / "out"), ask, 3)
    assert report.done == 60
    assert most == 3
    assert [outcome.number for outcome in outcomes] == list(range(1, 61))
    assert [outcome.name for outcome in outcomes] == sorted(outcome.name for outcome in outcomes)


def test_a_slow_one_holds_up_those_after_it_before_many_answers_wait(tmp_path: Path) -> None:
    items = write_texts(tmp_path / "in", 60)
    begun, go_on = [], threading.Event()

    def ask(data: bytes, name: str) -> tuple[bytes, str]:
        begun.append(name)
        if name == "0/0000.csv":
            assert go_on.wait(60)
        return data, "text/csv"

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(send, [items], Folder(tmp_path / "out"), ask, 2)
        wait_for(lambda: len(begun) == 2 * AHEAD + 1)
        time.sleep(0.2)  # in which more would begin
        assert len(begun) == 2 * AHEAD + 1
        go_on.set()
        assert run.result(60)[0].done == 60


def test_what_ends_all_requests_ends_the_run_and_what_fails_by_itself_does_not(tmp_path: Path) -> None:
    items = write_texts(tmp_path / "in", 20)
    (items / "empty.csv").touch()

    def ask(data: bytes, name: str) -> tuple[bytes, str]:
        if name == "3/0003.csv":
            raise InvocationFailed("This one is bad.")
        return data, "text/csv"

    report, _ = send([items], Folder(tmp_path / "out"), ask)
    assert report.failures == {
        "3/0003.csv": "This one is bad.",
        "empty.csv": f"{items / 'empty.csv'} is empty.",
    }
    assert report.done == 19

    def gone(data: bytes, name: str) -> tuple[bytes, str]:
        raise Unavailable("The endpoint is gone.")

    with pytest.raises(Unavailable):
        send([items], Folder(tmp_path / "other"), gone)


def test_files_and_folders_have_answers_of_their_own(tmp_path: Path) -> None:
    for name in ("a/photo.jpg", "b/photo.jpg", "b/.hidden", "b/sub/other.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    items = list_items([tmp_path / "a" / "photo.jpg", tmp_path / "b" / "sub"])
    assert [item.name for item in items] == ["photo.jpg", "other.jpg"]
    with pytest.raises(BadRequest, match=r"a/photo.jpg and .*b/photo.jpg would have one answer"):
        list_items([tmp_path / "a", tmp_path / "b"])


SMALL = Load(1000, 3_000_000, 4_000, 0.003, 0.004)
LARGE = Load(1, 30_000_000, 30_000_000, None, None)


@pytest.mark.parametrize(
    ("load", "mode", "has_store", "way", "why"),
    [
        (SMALL, Mode.REALTIME, False, Way.REALTIME, "about 3 s on one instance; none is above 25 MB or 60 s"),
        (SMALL, Mode.ASYNC, True, Way.ASYNC, "the endpoint is asynchronous"),
        (LARGE, Mode.REALTIME, True, Way.BATCH, "the largest has 30.0 MB, and real-time, always on takes 25 MB"),
        (load_of([1000], "", 70), Mode.REALTIME, True, Way.BATCH, "the longest takes about 70 s, and real-time"),
        (load_of([1000] * 9, "", 4000), Mode.SERVERLESS, False, None, "No way takes these images"),
        (load_of([5_000_000], "", 1), Mode.SERVERLESS, False, None, "Not in real time: the largest has 5.0 MB"),
        (load_of([1_000_000] * 20_000, "image-super-resolution", None), Mode.REALTIME, True, Way.BATCH, "5.6 h on"),
        (load_of([1_000_000] * 20_000, "image-super-resolution", None), Mode.REALTIME, False, Way.REALTIME,
         "A batch job would leave the endpoint to others: give --s3"),
        (load_of([10], "image-similarity", None), Mode.REALTIME, False, Way.REALTIME, "time not known"),
    ],
)  # fmt: skip
def test_the_way_is_picked_by_size_and_time(load: Load, mode: Mode, has_store: bool, way: Way | None, why: str) -> None:
    if way is None:
        with pytest.raises(BadRequest, match=why):
            choose_way(load, mode, has_store=has_store)
        return
    choice = choose_way(load, mode, has_store=has_store)
    assert choice.way is way
    assert why in choice.why


def test_a_folder_goes_to_a_local_endpoint_and_goes_on_where_it_ended(
    upper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = write_texts(tmp_path / "in", 12)
    (texts / "worse.csv").write_text("bad")
    words = ["invoke", str(upper), str(texts), "-o", str(tmp_path / "out"), "--accept", "text/csv", "--set", "k=v"]
    assert cli.main(words) == 1
    assert "12 done, 1 failed." in capsys.readouterr().err
    answers = read_all(tmp_path / "out")
    assert answers["3/0003.csv.csv"] == "TEXT 3k=v"
    assert len(answers) == 12
    failures = (tmp_path / "out" / "_pixelserve" / "failures.jsonl").read_text()
    assert json.loads(failures) == {"name": "worse.csv", "error": "This one is bad. Leave it out."}

    (texts / "worse.csv").write_text("good")
    (tmp_path / "out" / "1" / "0001.csv.csv").write_text("kept")
    assert cli.main([*words, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["done"], summary["skipped"], summary["failed"]) == (1, 12, 0)
    assert read_all(tmp_path / "out")["1/0001.csv.csv"] == "kept"
    assert (tmp_path / "out" / "_pixelserve" / "failures.jsonl").read_text() == ""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """moto for everything but the runtime."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    httpx.post(f"{url}/moto-api/reset", trust_env=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-2"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield lambda service: boto3.client(service, region_name="us-east-2")
    server.stop()


def make_endpoint(sagemaker: Any, name: str, container: Mapping[str, Any] | None = None, **config: Any) -> None:
    more = {"Environment": {"PIXELSERVE_FEATURE": "image_super_resolution"}} if container is None else container
    sagemaker.create_model(ModelName=f"{name}-model", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, **more})
    variant = {"VariantName": "AllTraffic", "ModelName": f"{name}-model", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**variant, "InstanceType": "ml.g4dn.xlarge"}], **config
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_a_file_goes_by_what_its_endpoint_is_and_takes(
    aws: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_endpoint(aws("sagemaker"), "upper")
    make_endpoint(aws("sagemaker"), "upper-async", AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://o/"}})
    (tmp_path / "small.csv").write_text("1,2")
    (tmp_path / "large.csv").write_text("1," * 12_500_001)
    words = ["--aws", "--seconds", "2", "-o", str(tmp_path / "out.csv")]

    assert cli.main(["invoke", "upper", str(tmp_path / "small.csv"), *words]) == 0
    assert capsys.readouterr().err == (
        "Realtime: 1 image, 0.0 MB, about 2 s on one instance; none is above 25 MB or 60 s.\n"
        "An instance, ml.g4dn.xlarge, costs $0.736 an hour whether it is called or not.\n"
    )
    refused = [
        ("upper", "large.csv", [], "Not in real time: the largest has 25.0 MB, and real-time, always on takes 25 MB. "
         "A batch job takes them: give --s3 s3://BUCKET/PREFIX/ for it."),
        ("upper", "small.csv", ["--seconds", "61"], "Not in real time: the longest takes about 61 s"),
        ("upper-async", "small.csv", [], "upper-async is asynchronous: give --way async, and -o FOLDER"),
    ]  # fmt: skip
    for endpoint, name, more, said in refused:
        assert cli.main(["invoke", endpoint, str(tmp_path / name), *words, *more]) == 1
        assert f"pixelserve invoke: {said}" in capsys.readouterr().err


def test_a_folder_goes_to_an_endpoint_on_aws_in_real_time_or_asynchronously(
    aws: Callable[[str], Any],
    upper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = write_texts(tmp_path / "in", 9)
    (texts / "worse.csv").write_text("bad")
    aws("s3").create_bucket(Bucket="pictures", CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    make_endpoint(aws("sagemaker"), "upper")
    queue = {"OutputConfig": {"S3OutputPath": "s3://pictures/out/"}}
    make_endpoint(aws("sagemaker"), "upper-async", AsyncInferenceConfig=queue)
    places = ["--async-output", "s3://pictures/out/", "--async-input", "s3://pictures/in/"]
    with up(upper, *places) as (_, printed):
        url = re.search(r"export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=(\S+)", printed)
        assert url is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url[1])
        words = ["--aws", "--accept", "text/csv", "--poll", "0.1", "--set", "k=v"]
        assert cli.main(["invoke", "upper", str(texts), "-o", str(tmp_path / "now"), *words]) == 1
        told = capsys.readouterr().err
        assert "Realtime: 10 images, 0.0 MB, about 0 s on one instance; none is above 25 MB or 60 s." in told
        assert "An instance, ml.g4dn.xlarge, costs $0.736 an hour whether it is called or not." in told
        assert read_all(tmp_path / "now")["3/0003.csv.csv"] == "TEXT 3k=v"

        asked = ["invoke", "upper-async", str(texts), "-o", str(tmp_path / "later"), *words]
        assert cli.main([*asked, "--s3", "s3://pictures/in/"]) == 1
        told = capsys.readouterr().err
        assert "Async: 10 images" in told
        assert "worse.csv: failed: This one is bad. Leave it out." in told
        assert read_all(tmp_path / "later") == read_all(tmp_path / "now")
        assert len(read_all(tmp_path / "later")) == 9
        single = [*asked[:2], str(texts / "0" / "0000.csv"), "-o", str(tmp_path / "one"), *words]
        assert cli.main([*single, "--s3", "s3://pictures/in/"]) == 0
        assert read_all(tmp_path / "one") == {"0000.csv.csv": "TEXT 0k=v"}
        with pytest.raises(SystemExit):
            cli.main([*single[:-1], "k=w", "--way", "async", "--overwrite"])
        assert "give --s3 s3://BUCKET/PREFIX/" in capsys.readouterr().err
        outputs = {"Requests": {"Value": "s3://pictures/in/"}}
        body = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs})
        aws("cloudformation").create_stack(StackName="pixelserve-upper-async", TemplateBody=body)
        assert cli.main([*single[:-1], "k=w", "--way", "async", "--overwrite"]) == 0
        assert read_all(tmp_path / "one") == {"0000.csv.csv": "TEXT 0k=w"}
        left = aws("s3").list_objects_v2(Bucket="pictures", Prefix="in/")
        assert left["KeyCount"] == 0

        aws("sagemaker").delete_endpoint(EndpointName="upper")  # which only the stand-in has now
        capsys.readouterr()
        assert cli.main(["invoke", "upper", str(texts), "-o", str(tmp_path / "alone"), *words]) == 1
        assert "What upper is could not be looked up: DescribeEndpoint: Could not find" in capsys.readouterr().err
        assert read_all(tmp_path / "alone") == read_all(tmp_path / "now")


PREFIX = {"S3DataSource": {"S3Uri": "s3://w/x4/", "S3DataType": "S3Prefix", "CompressionType": "None"}}


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (
            {"Mode": "MultiModel", "ModelDataUrl": "s3://w/"},
            "pictures serves several models, and a batch job",
        ),
        ({"ModelDataSource": PREFIX}, "The weights of pictures are an uncompressed prefix"),
    ],
)
def test_a_model_that_no_job_takes_is_refused_before_one_is_paid(
    container: Mapping[str, Any],
    said: str,
    aws: Callable[[str], Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = write_texts(tmp_path / "in", 2)
    aws("s3").create_bucket(Bucket="pictures", CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    make_endpoint(aws("sagemaker"), "pictures", container)
    words = ["--aws", "--way", "batch", "--s3", "s3://pictures/x/", "-o", str(tmp_path / "out"), "--yes"]
    assert cli.main(["invoke", "pictures", str(texts), *words]) == 1
    assert said in capsys.readouterr().err
    assert cli.main(["batch", "pictures", str(texts), "s3://pictures/y/", "--yes"]) == 1
    assert said in capsys.readouterr().err
    assert aws("sagemaker").list_transform_jobs()["TransformJobSummaries"] == []


def test_one_of_several_features_is_called_by_its_archive(
    aws: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_endpoint(aws("sagemaker"), "pictures", {"Mode": "MultiModel", "ModelDataUrl": "s3://w/"})
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes(draw_picture())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Several) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{server.server_port}")
        words = ["--aws", "--target-model", "image-similarity.tar.gz"]
        assert cli.main(["invoke", "pictures", str(tmp_path / "in" / "a.png"), *words]) == 0
        assert capsys.readouterr().out == '{"embedding": []}\n'
        assert cli.main(["invoke", "pictures", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == 0
        assert read_all(tmp_path / "out") == dict.fromkeys(["a.png.json", "b.png.json"], '{"embedding": []}')
        server.shutdown()
    batch = ["--way", "batch", "--s3", "s3://pictures/x/", "-o", str(tmp_path / "more")]
    with pytest.raises(SystemExit):
        cli.main(["invoke", "pictures", str(tmp_path / "in"), *words, *batch])
    assert "--target-model goes with real time" in capsys.readouterr().err
