"""`pixelserve package --to`: what comes to S3 (moto), by which calls, and what a second run sends."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from pixelserve.processes import Stop, Stopped
from pixelserve_deploy import cli, upload
from pixelserve_deploy.aws import Session

BUCKET = "my-weights"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    httpx.post(f"{url}/moto-api/reset", trust_env=False)  # what other tests have stored in this process
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    server.stop()


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for name, text in {"handler/inference.py": "# handler\n", "weights/model.pt": "weights"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return ["package", str(tmp_path / "handler"), "--model-dir", str(tmp_path / "weights"), "--to"]


@pytest.fixture
def package(words: list[str], capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def run(target: str) -> dict[str, Any]:
        assert cli.main([*words, target, "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return run


def list_keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_files_go_below_a_prefix_with_their_checksums(s3: Any, package: Callable[..., dict[str, Any]]) -> None:
    told = package(f"s3://{BUCKET}/upscaler/")
    assert list_keys(s3) == ["upscaler/code/inference.py", "upscaler/model.pt"]
    assert (told["uploaded"], told["there_already"]) == (2, 0)
    digest = hashlib.sha256(b"weights")
    assert {"name": "model.pt", "bytes": 7, "sha256": digest.hexdigest()} in told["files"]
    head = s3.head_object(Bucket=BUCKET, Key="upscaler/model.pt", ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumSHA256"]) == digest.digest()


def test_a_second_run_sends_what_changed(
    s3: Any, package: Callable[..., dict[str, Any]], words: list[str], tmp_path: Path
) -> None:
    package(f"s3://{BUCKET}/upscaler/")
    assert package(f"s3://{BUCKET}/upscaler/")["uploaded"] == 0
    (tmp_path / "weights" / "model.pt").write_text("WEIGHTS")  # of the same size
    assert package(f"s3://{BUCKET}/upscaler/")["uploaded"] == 1
    assert s3.get_object(Bucket=BUCKET, Key="upscaler/model.pt")["Body"].read() == b"WEIGHTS"


def test_an_archive_is_what_a_multi_model_endpoint_takes(
    s3: Any, package: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=BUCKET, Key="archives/other.tar.gz", Body=b"another feature's")
    told = package(f"s3://{BUCKET}/archives/mine.tar.gz")
    body = s3.get_object(Bucket=BUCKET, Key="archives/mine.tar.gz")["Body"].read()
    assert (len(body), hashlib.sha256(body).hexdigest()) == (told["bytes"], told["sha256"])
    with tarfile.open(fileobj=BytesIO(body)) as archive:
        assert archive.getnames() == ["code/inference.py", "model.pt"]
    assert package(f"s3://{BUCKET}/archives/mine.tar.gz")["there_already"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_large_files_go_in_parts_and_what_breaks_off_leaves_no_object(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART", 5 << 20)  # S3's smallest
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(6 << 20))
    (tmp_path / "a.txt").write_text("small")
    client, stop = Session().client("s3"), Stop()
    uploads = upload.list_uploads({"large.bin": large, "a.txt": tmp_path / "a.txt"}, "w/")
    seen: list[int] = []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if done > 5:  # within the second file
            stop._on_signal(2, None)

    with pytest.raises(Stopped):
        upload.send_uploads(client, BUCKET, uploads, interrupt, stop)
    gc.collect()  # s3transfer leaves the file of a part open
    assert list_keys(s3) == ["w/a.txt"]
    assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    missing = upload.select_missing(client, BUCKET, uploads, upload.list_objects(client, BUCKET, "w/"))
    assert [item.key for item in missing] == ["w/large.bin"]
    upload.send_uploads(client, BUCKET, missing, lambda done, total: seen.append(done), Stop())
    head = s3.head_object(Bucket=BUCKET, Key="w/large.bin", ChecksumMode="ENABLED")
    parts = [hashlib.sha256(large.read_bytes()[at : at + (5 << 20)]).digest() for at in range(0, 6 << 20, 5 << 20)]
    whole = base64.b64encode(hashlib.sha256(b"".join(parts)).digest()).decode()
    assert head["ChecksumSHA256"].removesuffix("-2") == whole  # S3 says of how many parts; moto does not
    assert upload.select_missing(client, BUCKET, uploads, upload.list_objects(client, BUCKET, "w/")) == []
    assert seen[-1] == 6 << 20


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        (f"s3://{BUCKET}/upscaler/", 1, "has other files too, such as upscaler/old.pt"),
        ("s3://no-such-bucket/x/", 1, "There is no bucket no-such-bucket. `aws s3 mb s3://no-such-bucket` makes one."),
        (f"s3://{BUCKET}/upscaler", 2, "a prefix ends in /, an archive in .tar.gz"),
        ("/tmp/here", 2, "write s3://BUCKET/PREFIX/ or"),
    ],
)
def test_what_cannot_be_a_target_is_told(
    s3: Any, words: list[str], target: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=BUCKET, Key="upscaler/old.pt", Body=b"old")
    try:
        found = cli.main([*words, target])
    except SystemExit as ended:
        found = int(ended.code or 0)
    assert found == code
    assert message in capsys.readouterr().err
    assert list_keys(s3) == ["upscaler/old.pt"]
