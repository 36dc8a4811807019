"""The size that a file announces, read without libraries, beside what Pillow reads."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tiff_files as tiff
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixelserve.imaging import read_header, read_size

FILES = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG"},
    "progressive": {"format": "JPEG", "progressive": True},
    "exif": {"format": "JPEG", "exif": Image.Exif().tobytes(), "comment": b"\xff\xc0 not a frame"},
    "bmp": {"format": "BMP"},
    "lossy": {"format": "WEBP"},
    "lossless": {"format": "WEBP", "lossless": True},
    "extended": {"format": "WEBP", "exif": Image.Exif().tobytes() or b"Exif\0\0"},
    "tiff": {"format": "TIFF"},
    "big-endian": {"format": "TIFF", "big_endian": True},
}


def file_of(width: int, height: int, options: dict[str, object], mode: str = "RGB") -> bytes:
    written = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 4), np.uint8)
    Image.fromarray(pixels).convert(mode).save(written, **options)  # type: ignore[arg-type]
    return written.getvalue()


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 300), (300, 3), (1_000, 257)])
def test_the_size_is_that_of_the_decoder(options: dict[str, object], width: int, height: int) -> None:
    file = file_of(width, height, options)
    header = read_header(file)
    assert read_size(file) == (header.width, header.height) == (width, height)


def test_webp_with_alpha_and_bmp_from_the_top() -> None:
    assert read_size(file_of(301, 77, {"format": "WEBP"}, "RGBA")) == (301, 77)
    bmp = bytearray(file_of(5, 7, {"format": "BMP"}))
    bmp[22:26] = (-7).to_bytes(4, "little", signed=True)
    assert read_size(bytes(bmp)) == (5, 7)


@pytest.mark.parametrize("order", ["<", ">"])
def test_bigtiff(order: str) -> None:
    file = tiff.write_tiff(np.zeros((3, 300, 1), int), 8, tiff.BLACK_IS_ZERO, order=order, big=True)
    assert read_size(file) == (300, 3)
    assert {read_size(file[:length]) for length in range(len(file))} <= {None, (300, 3)}


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
def test_a_file_that_is_cut_off_has_its_size_or_none(options: dict[str, object]) -> None:
    file = file_of(40, 30, options)
    assert {read_size(file[:length]) for length in range(len(file))} <= {None, (40, 30)}


@given(
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]
    ),
    st.binary(max_size=200),
)
def test_no_bytes_raise(start: bytes, rest: bytes) -> None:
    size = read_size(start + rest)
    assert size is None or min(size) > 0
