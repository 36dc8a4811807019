"""Folders and S3 prefixes, read and written alike. boto3 honours AWS_ENDPOINT_URL_S3 and its other variables."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from pixelserve.errors import BadRequest, BodyTooLarge, NotFound, Unavailable

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_S3_DEFAULT_TYPE = "binary/octet-stream"
"""What S3 says of an object that was stored without a content type."""


class Place(ABC):
    """Objects by name: a path relative to the folder or prefix, with slashes.

    What is not there raises NotFound, a name that leads out of the place BadRequest, a store that does not do its work
    Unavailable.
    """

    @abstractmethod
    def url(self, name: str) -> str:
        """The object's URL."""

    @abstractmethod
    def name_of(self, url: str) -> str | None:
        """The name of the object at `url`; None when it is not of this place."""

    @abstractmethod
    def names(self, prefix: str = "") -> list[str]:
        """All objects whose names begin with the prefix, sorted; none when the place does not exist."""

    @abstractmethod
    def open(self, name: str) -> contextlib.AbstractContextManager[tuple[BinaryIO, int, str]]:
        """A stream of the object, its size in bytes, and its content type where one was stored with it, else ""."""

    @abstractmethod
    def write(self, name: str, content: BinaryIO, content_type: str) -> None:
        """Stores an object: all of it, or nothing."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Removes an object; it need not be there."""

    @abstractmethod
    def signed_url(self, name: str, seconds: int) -> str | None:
        """An https URL at which anybody gets the object for so long; None where there is no such thing."""

    @abstractmethod
    def contains(self, other: Place) -> bool:
        """Whether the other place is this one or lies in it."""

    def upload_form(self, _name: str, _limit: int, _seconds: int) -> tuple[str, dict[str, str]] | None:
        """URL and fields of a form by which others store an object of at most `limit` bytes; None: there is no such."""
        return None

    def read(self, name: str, limit: int) -> tuple[bytes, str]:
        """The object and its stored content type. Raises BodyTooLarge above `limit` bytes."""
        with self.open(name) as (stream, size, content_type):
            content = stream.read(limit + 1) if size <= limit else b""  # it may have grown since
            if max(size, len(content)) > limit:
                raise BodyTooLarge(
                    f"{name} has {max(size, len(content)):,} bytes; the endpoint takes {limit:,}. Shrink it, or raise "
                    "PIXELSERVE_MAX_BODY_BYTES."
                )
            return content, content_type


class Folder(Place):
    """Files below a folder. Nothing is read or written by a symbolic link that leads out of it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()

    def __str__(self) -> str:
        return str(self.path)

    def url(self, name: str) -> str:
        return (self.path / self._checked(name)).as_uri()

    def name_of(self, url: str) -> str | None:
        try:
            parts = urlsplit(url)
            path = Path(os.path.realpath(unquote(parts.path)))
        except ValueError:
            return None
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        return path.relative_to(self.path).as_posix() if path.is_relative_to(self.path) else None

    def names(self, prefix: str = "") -> list[str]:
        walk = os.walk(self.path / prefix.rpartition("/")[0], onerror=_refuse_unless_missing)
        paths = (Path(folder, name) for folder, _, names in walk for name in names)
        found = (path.relative_to(self.path).as_posix() for path in paths if path.is_file())
        return sorted(name for name in found if name.startswith(prefix))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int, str]]:
        path = self.path / self._checked(name)
        with _explained(f"Cannot read {path}"):
            if not Path(os.path.realpath(path)).is_relative_to(self.path):
                raise BadRequest(f"{name!r} leads out of {self.path} by a link. Copy the file there.")
            if not path.is_file():
                raise NotFound(f"There is no file {path}.")
            with path.open("rb") as stream:
                yield stream, os.fstat(stream.fileno()).st_size, ""

    def write(self, name: str, content: BinaryIO, content_type: str) -> None:
        path = Path(os.path.realpath(self.path / self._checked(name)))
        if not path.is_relative_to(self.path):
            raise BadRequest(f"{name!r} leads out of {self.path} by a link. Remove the link.")
        unfinished = path.parent / f".{uuid.uuid4()}"
        with _explained(f"Cannot write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("xb") as file:
                    shutil.copyfileobj(content, file)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        path = self.path / self._checked(name)
        with _explained(f"Cannot remove {path}"):
            if not Path(os.path.realpath(path.parent)).is_relative_to(self.path):
                raise BadRequest(f"{name!r} leads out of {self.path} by a link. Remove the link.")
            path.unlink(missing_ok=True)

    def signed_url(self, name: str, seconds: int) -> str | None:
        return None

    def contains(self, other: Place) -> bool:
        return isinstance(other, Folder) and other.path.is_relative_to(self.path)

    def _checked(self, name: str) -> str:
        """The name. Raises BadRequest when it leads out of the folder, or no file can have it."""
        parts = name.split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in name:
            raise BadRequest(f"{name!r} cannot be a file in {self.path}. Rename the object.")
        return name


def _refuse_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise Unavailable(f"Cannot list {error.filename}: {error.strerror}.")


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{what}: {error.strerror}.") from None


class Bucket(Place):
    """Objects of an S3 bucket below a prefix, which ends with a slash or is empty."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        self.bucket = bucket
        self.prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3})
        try:
            self._client: Any = boto3.Session().client("s3", config=config)
        except (BotoCoreError, ValueError) as error:
            raise BadRequest(f"S3 cannot be used as it is configured: {error}") from None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def url(self, name: str) -> str:
        return f"{self}{name}"

    def name_of(self, url: str) -> str | None:
        return url.removeprefix(str(self)) if url.startswith(str(self)) else None

    def names(self, prefix: str = "") -> list[str]:
        listing = self._client.get_paginator("list_objects_v2")
        pages = listing.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
        with self._explained(""):
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return sorted(key.removeprefix(self.prefix) for key in keys if not key.endswith("/"))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int, str]]:
        with self._explained(name):
            answer = self._client.get_object(Bucket=self.bucket, Key=self.prefix + name)
            content_type = answer["ContentType"]
            with contextlib.closing(answer["Body"]) as body:
                known_type = "" if content_type == _S3_DEFAULT_TYPE else content_type
                yield io.BufferedReader(body), answer["ContentLength"], known_type

    def write(self, name: str, content: BinaryIO, content_type: str) -> None:
        from boto3.s3.transfer import TransferConfig

        with self._explained(name):
            self._client.upload_fileobj(
                content,
                self.bucket,
                self.prefix + name,
                ExtraArgs={"ContentType": content_type},
                Config=TransferConfig(use_threads=False),
            )

    def upload_form(self, name: str, limit: int, seconds: int) -> tuple[str, dict[str, str]]:
        """A presigned POST, since a presigned PUT cannot limit the size. Raises Unavailable."""
        with self._explained(name):
            form = self._client.generate_presigned_post(
                self.bucket, self.prefix + name, Conditions=[["content-length-range", 1, limit]], ExpiresIn=seconds
            )
        return str(form["url"]), dict(form["fields"])

    def remove(self, name: str) -> None:
        with self._explained(name):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def signed_url(self, name: str, seconds: int) -> str | None:
        with self._explained(name):
            wanted = {"Bucket": self.bucket, "Key": self.prefix + name}
            url: str = self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds)
            return url

    def contains(self, other: Place) -> bool:
        return isinstance(other, Bucket) and other.bucket == self.bucket and other.prefix.startswith(self.prefix)

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("NoSuchKey", "NoSuchBucket"):
                raise NotFound(f"There is no {self.url(name)}.") from None
            raise Unavailable(f"S3 answered {code} for {self.url(name)}.") from None
        except (BotoCoreError, Boto3Error, UnicodeError) as error:
            raise Unavailable(f"S3 does not give or take {self.url(name)}: {error}") from None


def place(text: str) -> Place:
    """The place that `text` names: s3://BUCKET/PREFIX or a folder's path. Raises BadRequest saying what would do."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Folder(Path(text))
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or not prefix.isprintable():
        raise BadRequest(f"{text!r} is no place for objects: write s3://BUCKET/PREFIX, or a folder's path.")
    return Bucket(bucket, prefix)
