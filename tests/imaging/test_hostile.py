"""Damaged and hostile files: whatever the bytes, a picture or a 4xx, never another exception."""

from __future__ import annotations

import io

import numpy as np
from drawing import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from pixelserve.errors import PixelserveError
from pixelserve.imaging import Image, decode, encode
from pixelserve.settings import Settings

LIMITS = Settings(max_pixels_in=1_000_000)


def _samples() -> list[bytes]:
    image = Pillow.fromarray(picture(40, 40))
    files = []
    for format, options in (
        ("JPEG", {}),
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        files.append(buffer.getvalue())
    files.append(b"".join(encode(Image(picture(40, 40, 4, 16)), "png")))
    return files


FILES = _samples()


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    st.floats(0.05, 1),
)
def test_mutated_files(data: bytes, changes: list[tuple[float, int]], keep: float) -> None:
    mutated = bytearray(data)
    for position, value in changes:
        mutated[int(position * len(mutated))] = value
    _decode_or_4xx(bytes(mutated[: int(keep * len(mutated)) + 1]))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(FILES), st.integers(0, 63), st.binary(min_size=1, max_size=8))
def test_mutated_headers(data: bytes, position: int, value: bytes) -> None:
    _decode_or_4xx(data[:position] + value + data[position + len(value) :])


def _decode_or_4xx(data: bytes) -> None:
    status = 200
    try:
        image = decode(data, LIMITS)
    except PixelserveError as error:
        status = error.status
    else:
        assert image.pixels.dtype in (np.uint8, np.uint16)
        assert image.width * image.height <= LIMITS.max_pixels_in
    assert status < 500
