"""Files to an S3 prefix: in parts where they are large, checked by S3, and only those that are not there yet.

S3 compares the SHA-256 of what arrives (an additional checksum of each object). The whole file's is kept as metadata
besides, since that of an object in parts is a checksum of checksums (user guide, checking object integrity).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pixelserve.errors import BadRequest
from pixelserve.processes import Stop
from pixelserve_deploy.aws import AwsError, Client

PART = 64 << 20
"""Bytes of a part; a larger file goes in several at once."""
DIGEST = "sha256"
"""Name of the metadata with the whole file's SHA-256 in hexadecimal."""


@dataclass(frozen=True)
class Upload:
    """A file and where it is to be; `digest` is its SHA-256 in hexadecimal."""

    path: Path
    key: str
    size: int
    digest: str


def list_uploads(files: Mapping[str, Path], prefix: str) -> list[Upload]:
    """An upload for each file, by its name below the prefix, which ends with a slash or is empty."""
    return [
        Upload(path, f"{prefix}{name}", path.stat().st_size, digest_file(path)) for name, path in sorted(files.items())
    ]


def digest_file(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Stored(NamedTuple):
    """An object as S3 lists it. The tag is the MD5 of one that came whole, unless a key of KMS encrypts it."""

    size: int
    tag: str


def list_objects(client: Client, bucket: str, prefix: str) -> dict[str, Stored]:
    """What lies below a prefix, by key. Raises BadRequest without the bucket, and AwsError."""
    try:
        tokens = ("NextContinuationToken", "ContinuationToken")
        pages = list(client.pages("list_objects_v2", *tokens, Bucket=bucket, Prefix=prefix))
    except AwsError as error:
        if error.reason != "NoSuchBucket":
            raise
        raise BadRequest(f"There is no bucket {bucket}. `aws s3 mb s3://{bucket}` makes one.") from None
    items = [item for page in pages for item in page.get("Contents", ())]
    return {item["Key"]: Stored(item["Size"], item["ETag"].strip('"')) for item in items}


def select_missing(client: Client, bucket: str, uploads: list[Upload], there: Mapping[str, Stored]) -> list[Upload]:
    """Those that are not among the objects, or there with another size or content."""
    return [
        upload
        for upload in uploads
        if upload.key not in there or there[upload.key].size != upload.size or _differs(client, bucket, upload)
    ]


def _differs(client: Client, bucket: str, upload: Upload) -> bool:
    metadata = client.head_object(Bucket=bucket, Key=upload.key)["Metadata"]
    return bool(metadata.get(DIGEST) != upload.digest)


def send_uploads(
    client: Client, bucket: str, uploads: list[Upload], progress: Callable[[int, int], None], stop: Stop
) -> None:
    """Uploads them one after another. `progress` gets bytes sent and their total.

    A file that is broken off is not there at all. Raises AwsError, and Stopped.
    """
    from boto3.s3.transfer import TransferConfig

    total, sent = sum(upload.size for upload in uploads), 0
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)

    def count(size: int) -> None:
        nonlocal sent
        stop.check()  # raised in a thread of the transfer, which then gives the file up
        sent += size
        progress(sent, max(total, 1))

    for upload in uploads:
        client.upload_file(
            Filename=str(upload.path),
            Bucket=bucket,
            Key=upload.key,
            ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": {DIGEST: upload.digest}},
            Config=config,
            Callback=count,
        )
