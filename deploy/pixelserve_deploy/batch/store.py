"""A prefix on S3 as jobs see it: listed with sizes, small records read and written, images uploaded and fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelserve.processes import Stop
from pixelserve_deploy.aws import AwsError, Client
from pixelserve_deploy.console import ShowItem
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.upload import list_objects

AT_ONCE = 16
"""Small objects that are uploaded at once."""
MOST_DELETED = 1000
"""DeleteObjects takes so many."""


@dataclass(frozen=True)
class Prefix:
    """s3://`bucket`/`key`; the key ends with a slash or is ""."""

    client: Client
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def list(self) -> dict[str, int]:
        """Size by name of all objects below it. Raises BadRequest without the bucket."""
        found = list_objects(self.client, self.bucket, self.key)
        return {key.removeprefix(self.key): stored.size for key, stored in found.items() if not key.endswith("/")}

    def below(self, name: str) -> Prefix:
        return Prefix(self.client, self.bucket, self.key + name)

    def contains(self, other: Prefix) -> bool:
        return other.bucket == self.bucket and other.key.startswith(self.key)

    def write(self, name: str, content: bytes, content_type: str = "application/json") -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key + name, Body=content, ContentType=content_type)

    def read(self, name: str) -> tuple[bytes, str]:
        """An object and its content type."""
        answer = self.client.get_object(Bucket=self.bucket, Key=self.key + name)
        return answer["Body"].read(), answer["ContentType"]

    def read_json(self, name: str) -> Any:
        """What a small JSON object holds; None where there is none."""
        try:
            return json.loads(self.read(name)[0])
        except AwsError as error:
            if error.reason != "NoSuchKey":
                raise
            return None

    def remove(self, names: Sequence[str]) -> None:
        """Deletes objects."""
        for at in range(0, len(names), MOST_DELETED):
            objects = [{"Key": self.key + name} for name in names[at : at + MOST_DELETED]]
            self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})

    def upload(self, files: Sequence[tuple[str, Path]], progress: ShowItem, stop: Stop) -> None:
        """Stores the files by name, several at once; not those that are there with the same content.

        Raises AwsError, and Stopped.
        """
        there = list_objects(self.client, self.bucket, self.key)

        def send(name: str, path: Path) -> None:
            stop.check()
            stored = there.get(self.key + name)
            if stored is not None and stored.tag == _digest(path):
                return
            self.client.upload_file(Filename=str(path), Bucket=self.bucket, Key=self.key + name)

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload") as pool:
            sent = pool.map(lambda pair: send(*pair), files)
            for number, ((name, _), _) in enumerate(zip(files, sent, strict=True), start=1):
                progress(number, len(files), f"{name}: uploaded", False)


def _digest(path: Path) -> str:
    """MD5, which S3 tags small objects with."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def open_prefix(client: Client, text: str) -> Prefix:
    """The prefix that `text` names. Raises UsageError saying what would do."""
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not text.startswith("s3://") or not bucket:
        raise UsageError(f"{text}: write s3://BUCKET/PREFIX/")
    return Prefix(client, bucket, f"{key.rstrip('/')}/" if key.rstrip("/") else "")
