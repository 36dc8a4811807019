"""WebP (RFC 9649): its chunks are read here, its pixels by libwebp (Pillow). Of an animation it is the first frame."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image as Pillow

from pixelserve.imaging.formats.exif import read_orientation
from pixelserve.imaging.formats.header import Header, Source, damaged
from pixelserve.imaging.headers import read_size
from pixelserve.imaging.image import Pixels

_HAS_ALPHA, _ALPHA_BYTES = 0x10, {b"VP8X": 0, b"VP8L": 4}
"""The bit that tells of alpha, and in which byte of a chunk it is. Some writers set only the one of VP8L."""
_MOST_CHUNKS = 5_000


def read(data: bytes) -> Source:
    """Raises InvalidImage for damage."""
    size = read_size(data)
    if size is None:
        raise damaged("WebP")
    chunks = dict(reversed(list(_chunks(data))))
    flags = (chunks[name][at] for name, at in _ALPHA_BYTES.items() if name in chunks)
    channels = 4 if any(flag & _HAS_ALPHA for flag in flags) else 3
    header = Header(
        "webp", *size, channels, 8 * channels, orientation=read_orientation(chunks.get(b"EXIF")),
        profile=chunks.get(b"ICCP"),
    )  # fmt: skip
    return Source(header, lambda: _decode(header, data))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk; of those with pixels only the first bytes."""
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data) + 1:  # an odd last chunk may lack its padding
        raise damaged("WebP")
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > min(end, len(data)):
            return
        name, size = struct.unpack_from("<4sI", data, position)
        if position + 8 + size > len(data):
            raise damaged("WebP")
        kept = size if name in (b"ICCP", b"EXIF") else min(size, 10)
        yield name, data[position + 8 : position + 8 + kept]
        position += 8 + size + size % 2
    raise damaged("WebP", f"has more than {_MOST_CHUNKS:,} chunks")


def _decode(header: Header, data: bytes) -> Pixels:
    with Pillow.open(io.BytesIO(data), formats=("WEBP",)) as picture:
        return np.asarray(picture.convert("RGBA" if header.channels == 4 else "RGB"))
