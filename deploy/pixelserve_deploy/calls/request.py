"""The request of a file, or of two images to compare: its body, and what it says of itself and of the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelserve import features
from pixelserve.media_types import JSON, content_type_of, is_json
from pixelserve.wire import ATTRIBUTES
from pixelserve_deploy.errors import UsageError

ACCEPTS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".npy": "application/x-npy",
    ".json": JSON,
    ".jsonl": "application/jsonlines",
    ".csv": "text/csv",
}
ENDINGS = {accept: ending for ending, accept in ACCEPTS.items() if ending != ".jpeg"}


def choose_type(given: str | None, data: bytes, name: str) -> str:
    """The content type that the command line gives, else the file's own."""
    return given or content_type_of(data, name)


def choose_accept(endpoint: str, is_picture: bool) -> str:
    """What to ask for where nobody says: what the feature of that name gives, else a picture for a picture."""
    known = features.find(endpoint.rpartition("=")[2])
    return known.answer if known else "image/png" if is_picture else "*/*"


def build_body(
    files: Sequence[bytes], content_type: str, options: Mapping[str, Any], accept: str, *, as_it_is: bool = False
) -> tuple[bytes, dict[str, str]]:
    """The body and its headers; `options` are added to its JSON, or else are attributes.

    An image goes in JSON where JSON is to be answered, unless it is to be sent `as_it_is`; two images always.
    """
    if len(files) == 2 or (content_type.startswith("image/") and is_json(accept) and not as_it_is):
        files, content_type = [_encode_pictures(files)], JSON
    (body,) = files
    headers = {"Content-Type": content_type, "Accept": accept}
    if is_json(content_type) and options:
        fields = json.loads(body)
        if not isinstance(fields, dict):
            raise UsageError("--set and --scale add fields to a JSON object, and the file holds something else")
        return json.dumps({**fields, **options}).encode(), headers
    attributes = ";".join(f"{key}={json.dumps(v) if not isinstance(v, str) else v}" for key, v in options.items())
    if not attributes.isascii():
        raise UsageError("--set with letters beyond ASCII needs a JSON answer: -o OUT.json")
    return body, headers | ({ATTRIBUTES: attributes} if attributes else {})


def _encode_pictures(pictures: Sequence[bytes]) -> bytes:
    """The JSON request of one picture, or of two to compare."""
    fields = ["img"] if len(pictures) == 1 else ["img_1", "img_2"]
    encoded = {field: base64.b64encode(picture).decode() for field, picture in zip(fields, pictures, strict=True)}
    return json.dumps(encoded).encode()


def accept_of(output: Path) -> str:
    """The content type of a file's ending. Raises UsageError for one that nothing is written in."""
    try:
        return ACCEPTS[output.suffix.lower()]
    except KeyError:
        raise UsageError(f"-o {output}: name one of {', '.join(ACCEPTS)}, or give --accept") from None
