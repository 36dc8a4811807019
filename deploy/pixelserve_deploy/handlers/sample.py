"""The request that a handler is tried with when its author gives none, and requests that differ from a given one."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from pixelserve.media_types import CSV, JSON, NPY, essence


def make_sample(number: int = 0) -> bytes:
    """JSON with a grey PNG in Base64, the request that the toolkit's own features take: 16 + number rows of 16."""
    return json.dumps({"img": base64.b64encode(_make_png(number)).decode()}).encode()


def _make_png(number: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(max(0, grey - number) for grey in range(0, 256, 16)) for _ in range(16 + number))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack("!IIBBBBB", 16, 16 + number, 8, 0, 0, 0, 0))
    return png + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def vary(body: bytes, content_type: str, count: int) -> Iterator[bytes]:
    """Up to `count` requests like the given one, whose answers should differ: other numbers, or other pictures.

    A picture, in Base64 as `img` too, is replaced by small ones. Nothing is yielded for what is not understood.
    """
    kind = essence(content_type)
    for number in range(1, count + 1):
        try:
            if kind.startswith("image/"):
                yield _make_png(number)
            elif kind == JSON:
                yield json.dumps(_shift(json.loads(body), number)).encode()
            elif kind == NPY:
                yield _shift_array(body, number)
            elif kind == CSV:
                rows = np.loadtxt(io.StringIO(body.decode()), delimiter=",", ndmin=2) + number
                yield "\n".join(",".join(map(repr, row)) for row in rows.tolist()).encode()
        except (ValueError, TypeError, RecursionError):
            return


def _shift(value: Any, number: int) -> Any:
    """A JSON value with the number added to its numbers, and another picture in its fields called img…."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(_make_png(number)).decode() if key.startswith("img") else _shift(item, number)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_shift(item, number) for item in value]
    return value + number if isinstance(value, int | float) and not isinstance(value, bool) else value


def _shift_array(body: bytes, number: int) -> bytes:
    array = np.load(io.BytesIO(body), allow_pickle=False)
    file = io.BytesIO()
    np.save(file, (array + number).astype(array.dtype), allow_pickle=False)
    return file.getvalue()
