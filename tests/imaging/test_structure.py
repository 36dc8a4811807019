"""Small files that would cost a decoder minutes or gigabytes are refused by their structure."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from drawing import picture
from PIL import Image as Pillow

from pixelserve.errors import InvalidImage
from pixelserve.imaging import Image, decode, encode
from pixelserve.imaging.formats.jpeg import MOST_SCANS, MOST_SEGMENTS
from pixelserve.imaging.formats.png import MOST_CHUNKS
from pixelserve.settings import Settings

SETTINGS = Settings()


def saved(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(picture(40, 40)).save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def test_a_jpeg_of_endless_scans() -> None:
    data = saved("JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    scans = data.count(b"\xff\xda")
    assert np.asarray(Pillow.open(io.BytesIO(data))).shape == decode(data, SETTINGS).pixels.shape
    fits = data[:-2] + last * (MOST_SCANS - scans) + b"\xff\xd9"
    with pytest.raises(InvalidImage, match="damaged"):  # scans are not sent twice; their number is no reason
        decode(fits, SETTINGS)
    with pytest.raises(InvalidImage, match="scans"):
        decode(data[:-2] + last * (MOST_SCANS - scans + 1) + b"\xff\xd9", SETTINGS)


def test_a_jpeg_of_endless_segments() -> None:
    data = saved("JPEG")
    comments = b"\xff\xfe\x00\x02" * MOST_SEGMENTS
    with pytest.raises(InvalidImage, match="segments"):
        decode(data[:2] + comments + data[2:], SETTINGS)


def test_scan_marks_inside_a_comment_do_not_count() -> None:
    data = saved("JPEG", comment=b"\xff\xda" * (MOST_SCANS + 1))
    assert decode(data, SETTINGS).width == 40


@pytest.mark.parametrize("place", ["before the pixels", "behind them"])
def test_a_png_of_endless_chunks(place: str) -> None:
    data = saved("PNG")
    at = 33 if place == "before the pixels" else len(data) - 12
    with pytest.raises(InvalidImage, match="chunks"):
        decode(data[:at] + chunk(b"teSt") * MOST_CHUNKS + data[at:], SETTINGS)


@pytest.mark.parametrize("depth", [8, 16])
def test_text_in_a_png_is_not_inflated(depth: int) -> None:
    data = b"".join(encode(Image(picture(40, 40, 3, depth)), "png"))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(7_000_000)))
    file = data[:33] + text * 20 + data[33:-12] + text * 20 + data[-12:]
    assert np.array_equal(decode(file, SETTINGS).pixels, decode(data, SETTINGS).pixels)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_with_a_wrong_checksum_or_cut_off(depth: int) -> None:
    data = b"".join(encode(Image(picture(40, 40, 3, depth)), "png"))
    damaged = bytearray(data)
    damaged[60] ^= 1
    with pytest.raises(InvalidImage, match="IDAT chunk has a wrong checksum"):
        decode(bytes(damaged), SETTINGS)
    for size in (8, 20, 40, len(data) - 1):
        with pytest.raises(InvalidImage, match="cut off"):
            decode(data[:size], SETTINGS)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_tile_far_larger_than_the_picture(depth: int) -> None:
    edge = 16_384
    tile = zlib.compress(bytes(edge * edge * depth // 8), 1)
    tags = [
        (256, 16), (257, 16), (258, depth), (259, 8), (262, 1), (277, 1),
        (322, edge), (323, edge), (324, 8), (325, len(tile)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 8 + len(tile)) + tile + struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(InvalidImage, match="tiles of 16384 x 16384 pixels"):
        decode(data, SETTINGS)
