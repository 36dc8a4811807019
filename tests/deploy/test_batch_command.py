"""`pixelserve batch`: the local form as a process that is interrupted; jobs against moto, which runs none.

moto makes a job `Completed` at once and writes no outputs (its FakeTransformJob), so a test writes them as
CreateTransformJob's S3OutputPath describes it. What a job does on AWS was not seen.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody
from moto.sagemaker.models import FakeTransformJob
from scripted import BEGIN, Scripted, error
from servers import in_threads, wait_for
from test_many import IMAGE, ROLE, aws, make_endpoint, read_all, write_texts  # noqa: F401  the fixture

from pixelserve_deploy import cli
from pixelserve_deploy.aws import Client
from pixelserve_deploy.batch import Jobs, Machines
from pixelserve_deploy.batch.jobs import LOG_GROUP, make_request
from pixelserve_deploy.batch.shards import Shard, make_order
from pixelserve_deploy.batch.store import Prefix

COUNTING = """
import os
import time

PIPELINE = True

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    with open(os.environ["COUNTED"], "a") as file:
        file.write(body.decode() + "\\n")
    return body.decode()

def predict_fn(data, model):
    time.sleep(0.003)
    return data

def output_fn(prediction, accept):
    return prediction.upper(), "text/csv"
"""
BUCKET = "pictures"
SPEC = ["--image", IMAGE, "--role", ROLE, "--features", "image-super-resolution", "--poll", "0.05", "--yes"]


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    (tmp_path / "counting").mkdir()
    (tmp_path / "counting" / "inference.py").write_text(COUNTING)
    return tmp_path / "counting"


def test_a_thousand_images_here_interrupted_and_resumed_are_done_once_each(
    handler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target, counted = write_texts(tmp_path / "in", 1000), tmp_path / "out", tmp_path / "counted"
    monkeypatch.setenv("COUNTED", str(counted))
    words = [sys.executable, "-m", "pixelserve_deploy", "batch", str(handler), str(source), str(target), "--local"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: counted.exists() and counted.read_text().count("\n") > 100)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    before = read_all(target)
    assert 0 < len(before) < 1000
    assert all(text.startswith("TEXT ") for text in before.values())  # whole, or not there

    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert (summary["done"], summary["skipped"], summary["failed"]) == (1000 - len(before), len(before), 0)
    assert json.loads((target / "_pixelserve" / "summary.json").read_text()) == summary
    answers = read_all(target)
    assert sorted(answers.values()) == sorted(f"TEXT {number}" for number in range(1000))
    times = Counter(counted.read_text().split("\n"))
    assert {answers[name].lower() for name in before} <= {text for text, count in times.items() if count == 1}

    assert subprocess.run(words, capture_output=True, check=True).stderr.endswith(
        b"0 done, 1000 there already, 0 failed.\n"
    )


def test_a_plan_here_says_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["batch", "image-similarity", str(write_texts(tmp_path / "in", 3)), str(tmp_path / "out"), "--local"]
    assert cli.main([*words, "--plan"]) == 10
    assert capsys.readouterr().out == "3 images are to be done here.\n"


def test_jobs_take_images_of_one_folder_each_and_never_too_many() -> None:
    sizes = {"a.png": 1, "b.png": 1, "sub/c.png": 2, "sub/deep/d.png": 9, "done.png": 1, "z.png": 1}
    order = make_order(sizes, ["done.png.out", "other"], 8, 2)
    assert order.shards == [Shard("", ("a.png", "b.png")), Shard("", ("z.png",)), Shard("sub/", ("c.png",))]
    assert order.sizes == [1, 1, 2, 1]
    assert (order.report.skipped, list(order.report.failures)) == (1, ["sub/deep/d.png"])
    assert json.loads(order.shards[2].write_manifest("s3://b/in/")) == [{"prefix": "s3://b/in/sub/"}, "c.png"]


@pytest.fixture
def bucket(aws: Callable[[str], Any]) -> Any:  # noqa: F811
    s3 = aws("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
        s3.put_object(Bucket=BUCKET, Key=f"in/{name}", Body=b"\xff\xd8\xff" + bytes(1000))
    return s3


@pytest.fixture
def simulated(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Writes what a job would, when it is followed: an output for each image of its manifest but b.jpg's first one."""
    described: list[dict[str, Any]] = []
    follow = Jobs._follow

    def follow_and_write(jobs: Jobs, job: str) -> str:
        told = jobs._client.describe_transform_job(TransformJobName=job)
        described.append(told)
        uri = told["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        manifest = json.loads(bucket.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read())
        output = told["TransformOutput"]["S3OutputPath"].removeprefix(f"s3://{BUCKET}/")
        for name in manifest[1:]:
            if name != "b.jpg" or len(described) > 2:
                bucket.put_object(Bucket=BUCKET, Key=f"{output}/{name}.out", Body=b"large", ContentType="image/png")
        return follow(jobs, job)

    monkeypatch.setattr(Jobs, "_follow", follow_and_write)
    return described


def test_a_prefix_goes_through_jobs_with_a_model_of_the_spec(
    aws: Callable[[str], Any],  # noqa: F811
    simulated: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["batch", "upscaler", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out", *SPEC]
    assert cli.main([*words, "--plan"]) == 10
    told = capsys.readouterr().out
    assert told.startswith("3 images in 2 jobs.\nAbout 20 min and $")
    assert aws("sagemaker").list_models()["Models"] == []
    assert simulated == []

    assert cli.main([*words, "--count", "2", "--max-payload", "20"]) == 1
    first, second = simulated
    assert first["ModelName"].startswith("pixelserve-job-upscaler-")
    assert first["TransformResources"] == {
        "InstanceType": "ml.g4dn.xlarge",
        "InstanceCount": 2,
        "TransformAmiVersion": "al2-ami-sagemaker-batch-gpu-535",
    }
    assert first["TransformInput"]["DataSource"]["S3DataSource"]["S3DataType"] == "ManifestFile"
    assert first["TransformInput"]["ContentType"] == "application/octet-stream"
    assert first["TransformOutput"]["Accept"] == "image/png"
    assert (first["MaxPayloadInMB"], first.get("MaxConcurrentTransforms")) == (20, None)
    assert second["TransformOutput"]["S3OutputPath"] == f"s3://{BUCKET}/out/sub"
    assert aws("sagemaker").list_models()["Models"] == []
    assert "2 done, 1 failed." in capsys.readouterr().err
    summary = json.loads(aws("s3").get_object(Bucket=BUCKET, Key="out/_pixelserve/summary.json")["Body"].read())
    assert summary == {"done": 2, "skipped": 0, "failed": 1, "input": words[2], "output": words[3]}
    failures = aws("s3").get_object(Bucket=BUCKET, Key="out/_pixelserve/failures.jsonl")["Body"].read()
    assert json.loads(failures)["name"] == "b.jpg"

    assert cli.main(words) == 0  # what failed, and nothing else
    assert "1 done, 2 there already, 0 failed." in capsys.readouterr().err
    assert cli.main(words) == 0
    assert "0 done, 3 there already, 0 failed." in capsys.readouterr().err


@pytest.mark.usefixtures("simulated")
def test_what_is_there_is_done_again_and_no_old_answer_counts_for_a_new_one(
    bucket: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = [f"out/{name}.out" for name in ("a.jpg", "b.jpg", "gone.jpg")]
    for key in old:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"old")
    words = ["batch", "upscaler", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out", *SPEC, "--overwrite"]
    assert cli.main([*words, "--plan"]) == 10
    assert capsys.readouterr().out.startswith("3 images in 2 jobs, 2 made anew.\n")
    assert cli.main(words) == 1
    assert "2 done, 1 failed." in capsys.readouterr().err  # b.jpg, whose old answer is none
    assert read_outputs(bucket) == {"a.jpg.out": b"large", "sub/c.jpg.out": b"large", "gone.jpg.out": b"old"}
    assert cli.main(words[:-1]) == 0
    assert "1 done, 2 there already, 0 failed." in capsys.readouterr().err


def read_outputs(s3: Any) -> dict[str, bytes]:
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]
    names = [item["Key"].removeprefix("out/") for item in listed if "_pixelserve" not in item["Key"]]
    return {name: s3.get_object(Bucket=BUCKET, Key=f"out/{name}")["Body"].read() for name in names}


@pytest.mark.usefixtures("simulated")
def test_a_folder_is_uploaded_and_an_endpoint_lends_its_model(
    aws: Callable[[str], Any],  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_endpoint(aws("sagemaker"), "upscaler")
    texts = write_texts(tmp_path / "in", 3)
    words = ["batch", "upscaler", str(texts), f"s3://{BUCKET}/new/", "--poll", "0.05", "--yes"]
    assert cli.main(words) == 0
    assert "3 done, 0 failed." in capsys.readouterr().err
    assert [model["ModelName"] for model in aws("sagemaker").list_models()["Models"]] == ["upscaler-model"]

    out = tmp_path / "out"
    asked = [
        "invoke",
        "upscaler",
        str(texts),
        "-o",
        str(out),
        "--aws",
        "--s3",
        f"s3://{BUCKET}/store/",
        "--poll",
        "0.05",
    ]
    assert cli.main([*asked, "--seconds", "2000", "--yes"]) == 0
    told = capsys.readouterr().err
    assert "Batch: 3 images, 0.0 MB, about 1.7 h on one instance; the longest takes about 2,000 s" in told
    assert "3 images in 1 job.\nAbout 1.8 h and $1.4" in told
    assert read_all(out) == {f"{number}/000{number}.csv.png": "large" for number in range(3)}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--role", ""], "A job needs --role: the ARN of a role that SageMaker may take on"),
        (["--weights", "s3://weights/upscaler/"], "Batch transform takes weights as model.tar.gz"),
        (["--features", "image-super-resolution,image-similarity", "--weights", "s3://w/"], "A job serves one feature"),
        (["--role", "arn:aws-cn:iam::123456789012:role/x"], "aws-cn"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_no_job_can_run_is_refused(more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["batch", "upscaler", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/", *SPEC, *more]) == 1
    assert message in capsys.readouterr().err


def test_ctrl_c_leaves_a_job_that_the_same_command_follows(
    aws: Callable[[str], Any],  # noqa: F811
    bucket: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line of the log is that of aws/sagemaker-python-sdk#1951."""
    make, jobs = FakeTransformJob.__init__, []

    def make_running(job: FakeTransformJob, *values: Any, **fields: Any) -> None:
        make(job, *values, **fields)
        job.transform_job_status = "InProgress"
        jobs.append(job)

    monkeypatch.setattr(FakeTransformJob, "__init__", make_running)
    words = ["batch", "upscaler", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/", *SPEC]

    def interrupt() -> None:
        wait_for(lambda: jobs)
        os.kill(os.getpid(), signal.SIGINT)

    in_threads(1, interrupt)
    assert cli.main(words) == 5
    told = capsys.readouterr().err
    assert f"{jobs[0].transform_job_name}: InProgress" in told
    assert (
        f"follows it. To end it: aws sagemaker stop-transform-job --transform-job-name {jobs[0].transform_job_name}"
        in told
    )
    (model,) = aws("sagemaker").list_models()["Models"]  # the job needs it
    tags = {tag["Key"]: tag["Value"] for tag in aws("sagemaker").list_tags(ResourceArn=model["ModelArn"])["Tags"]}
    assert tags == {"pixelserve:job": "upscaler"}  # what has the tag pixelserve, a deployment takes for left over

    bucket.put_object(Bucket=BUCKET, Key="out/a.jpg.out", Body=b"large")
    jobs[0].transform_job_status, jobs[0].failure_reason = "Failed", "ClientError: See job logs for more information"

    def fail() -> None:
        for number in (1, 2):
            wait_for(lambda number=number: len(jobs) > number)
            stream = f"{jobs[number].transform_job_name}/i-0abc/data-log"
            line = "2026-11-30T12:00:00.123:[sagemaker logs]: pictures/in/b.jpg: ClientError: 400"
            logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
            logs.put_log_events(
                logGroupName=LOG_GROUP,
                logStreamName=stream,
                logEvents=[{"timestamp": int(time.time() * 1000), "message": line}],
            )
            jobs[number].failure_reason = "ClientError: See job logs"
            jobs[number].transform_job_status = "Failed"

    logs = aws("logs")
    logs.create_log_group(logGroupName=LOG_GROUP)
    in_threads(1, fail)
    assert cli.main(words) == 1
    told = capsys.readouterr().err
    assert f"{jobs[0].transform_job_name} of an earlier run is looked at first" in told
    manifests = [
        json.loads(
            bucket.get_object(Bucket=BUCKET, Key=f"out/_pixelserve/manifests/{job.transform_job_name}.json")[
                "Body"
            ].read()
        )
        for job in jobs
    ]
    assert [manifest[1:] for manifest in manifests] == [["a.jpg", "b.jpg"], ["b.jpg"], ["c.jpg"]]
    assert "b.jpg: ClientError: 400" in told
    assert "sub/c.jpg: ClientError: See job logs" in told
    assert aws("sagemaker").list_models()["Models"] == []


def test_a_job_that_gives_nothing_is_the_last(
    aws: Callable[[str], Any],  # noqa: F811
    bucket: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make, jobs = FakeTransformJob.__init__, []

    def make_failed(job: FakeTransformJob, *values: Any, **fields: Any) -> None:
        make(job, *values, **fields)
        job.transform_job_status, job.failure_reason = "Failed", "CapacityError: Unable to provision capacity."
        jobs.append(job)

    monkeypatch.setattr(FakeTransformJob, "__init__", make_failed)
    assert cli.main(["batch", "upscaler", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/", *SPEC]) == 1
    (job,) = jobs  # of two
    told = capsys.readouterr().err
    assert f"{job.transform_job_name} gave nothing: CapacityError: Unable to provision capacity. The other 1" in told
    assert aws("sagemaker").list_models()["Models"] == []


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            error("ExpiredTokenException", "The security token included in the request is expired"),
            "renew the credential",
        ),
        (error("ThrottlingException", "Rate exceeded"), "run the same command again. AWS goes on with job-1"),
    ],
)
def test_a_job_that_is_lost_sight_of_goes_on(
    failure: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Scripted(monkeypatch)
    state = b'{"job": "job-1"}'
    stored = {"Body": StreamingBody(io.BytesIO(state), len(state)), "ContentType": "application/json"}
    script.answer("s3", "GetObject", stored)
    known = {
        "TransformJobName": "job-1",
        "TransformJobArn": "arn:aws:sagemaker:us-east-2:123456789012:transform-job/job-1",
        "TransformJobStatus": "InProgress",
        "ModelName": "model",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/m.json"}}},
        "TransformResources": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1},
        "CreationTime": BEGIN,
    }
    script.answer("sagemaker", "DescribeTransformJob", known, failure)
    words = ["batch", "upscaler", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/", *SPEC, "--region", "us-east-2"]
    assert cli.main(words) == 5
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("instance", "has_disk"),
    [("ml.g4dn.xlarge", True), ("ml.g5.2xlarge", True), ("ml.g6e.xlarge", True), ("ml.p4d.24xlarge", True),
     ("ml.m5d.large", True), ("ml.p3.2xlarge", False), ("ml.m5.large", False), ("ml.c6i.xlarge", False)],
)  # fmt: skip
def test_disks_of_an_instances_own_take_no_key(instance: str, has_disk: bool) -> None:
    """CreateTransformJob refuses a VolumeKmsKeyId for them (TransformResources, API reference)."""
    key = "arn:aws:kms:us-east-2:123456789012:key/12345678-1234-1234-1234-123456789012"
    place = Prefix(Client(None), BUCKET, "out/")
    request = make_request("job", "model", Machines(instance, kms_key=key), place, Shard("", ("a.png",)))
    assert request["TransformOutput"]["KmsKeyId"] == key
    assert ("VolumeKmsKeyId" not in request["TransformResources"]) is has_disk
