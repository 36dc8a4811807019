"""Small files that would cost much are refused, or read, before they do. Limits of time are there to catch hangs."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib

import jpeg_files as jpeg
import numpy as np
import png_files as png
import pytest
import tiff_files as tiff
from jpeg_files import Jpeg
from numpy.typing import NDArray

from pixelserve.errors import ImageTooLarge, InvalidImage, UnsupportedMediaType
from pixelserve.imaging import decode
from pixelserve.settings import Settings

SETTINGS = Settings()


def peak_of(data: bytes) -> int:
    """Bytes that were held at once while a file was decoded or refused."""
    tracemalloc.start()
    try:
        with contextlib.suppress(InvalidImage):
            decode(data, SETTINGS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def with_strips(data: bytes, count: int, offset: int, size: int) -> bytes:
    """A TIFF of `count` strips, all of which become the same bytes."""
    for tag, value in ((273, offset), (279, size)):
        at = data.index(struct.pack("<HHI", tag, 4, count))
        at = struct.unpack_from("<I", data, at + 8)[0]
        data = data[:at] + struct.pack("<I", value) * count + data[at + 4 * count :]
    return data


@pytest.mark.timeout(30)
@pytest.mark.parametrize("start", [b"<!---->" * 140, b"<?xml ?>" + b"<!-- a -->" * 99, b"<?xml " + b"?><!---->" * 99])
def test_comments_before_what_is_no_web_page(start: bytes) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"known|XML"):
        decode(start + b"<p>", SETTINGS)


@pytest.mark.timeout(30)
def test_a_run_of_ff_in_a_jpeg() -> None:
    data = Jpeg(8, 8, [np.zeros((1, 1), np.uint8)]).write()
    filling = b"\xff" * 50_000
    with pytest.raises(InvalidImage):
        decode(b"\xff\xd8\xff\xfe\0\2" + filling + b"\0\0", SETTINGS)
    with contextlib.suppress(InvalidImage):
        decode(data[:-2] + filling + b"\0\0", SETTINGS)
    assert decode(data[:2] + filling + data[2:-2] + filling + data[-2:], SETTINGS).width == 8


def test_tags_that_nobody_asks_for() -> None:
    body = bytes(1_000_000)
    tags = b"".join(struct.pack("<HHII", 40_000 + number, 1, len(body), 8) for number in range(50))
    data = tiff.write_tiff(np.zeros((8, 8, 1), int), 8, tiff.BLACK_IS_ZERO, encode=lambda _: body)
    directory = struct.unpack_from("<I", data, 4)[0]
    (number,) = struct.unpack_from("<H", data, directory)
    more = data[:directory] + struct.pack("<H", number + 50) + data[directory + 2 : -4] + tags + bytes(4)
    assert decode(more, SETTINGS).width == 8
    assert peak_of(more) < 20_000_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("compression", [tiff.LZW, tiff.DEFLATE, tiff.PACK_BITS, tiff.JPEG])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_compressed_strips_that_lie_over_each_other(compression: int, is_reversed: bool) -> None:
    samples = np.zeros((200, 16, 1), int)
    length = 500_000
    data = tiff.write_tiff(
        samples, 8, tiff.BLACK_IS_ZERO, compression=compression, rows=1, encode=lambda _: zlib.compress(bytes(16)),
        undefined={40_000: bytes(length)}, reversed_bits=is_reversed,
    )  # fmt: skip
    data = with_strips(data, 200, 8, length)
    with pytest.raises(InvalidImage, match="strips that lie over each other"):
        decode(data, SETTINGS)
    assert peak_of(data) < 5_000_000


def test_blank_strips_may_be_the_same() -> None:
    samples = np.full((200, 16, 1), 7)
    for compression in (tiff.PLAIN, tiff.LZW, tiff.DEFLATE):
        data = tiff.write_tiff(samples, 8, tiff.BLACK_IS_ZERO, compression=compression, rows=1, reversed_bits=True)
        size = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 279, 4, 200)) + 8)[0]
        data = with_strips(data, 200, 8, struct.unpack_from("<I", data, size)[0])
        assert (decode(data, SETTINGS).pixels == 7).all()


def resized(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame says another size."""
    at = next(data.index(frame) for frame in (b"\xff\xc0", b"\xff\xc2") if frame in data) + 5
    return data[:at] + struct.pack("!HH", height, width) + data[at + 4 :]


def test_a_jpeg_in_a_tiff_that_is_larger_than_its_strip() -> None:
    part = resized(Jpeg(16, 16, [np.zeros((2, 2), np.uint8)]).write(), 8_000, 8_000)
    data = tiff.write_tiff(
        np.zeros((16, 16, 1), int), 8, tiff.BLACK_IS_ZERO, compression=tiff.JPEG, encode=lambda _: part
    )
    with pytest.raises(InvalidImage, match="damaged"):
        decode(data, SETTINGS)
    assert peak_of(data) < 5_000_000


def test_scans_of_jpegs_in_a_tiff_have_a_budget() -> None:
    """The strip alone would have room for them."""
    part = Jpeg(8, 8, [np.zeros((1, 1), np.uint8)], process=jpeg.PROGRESSIVE).write()
    part = resized(part[:-2] + part[part.rindex(b"\xff\xda") : -2] * 30 + b"\xff\xd9", 7_000, 8)
    page: NDArray[np.integer] = np.broadcast_to(np.int64(0), (7_000, 7_000, 1))
    data = tiff.write_tiff(page, 8, tiff.BLACK_IS_ZERO, compression=tiff.JPEG, rows=8, encode=lambda _: part)
    with pytest.raises(ImageTooLarge, match="in 32 scans"):
        decode(data, SETTINGS)


def test_tiles_far_larger_than_the_picture() -> None:
    row = np.zeros((1, 9_000, 1), int)
    blank = zlib.compress(bytes(9_000 * 9_000), 9)
    data = tiff.write_tiff(
        row, 8, tiff.BLACK_IS_ZERO, compression=tiff.DEFLATE, tile=(9_000, 1), encode=lambda _: blank
    )
    at = data.index(struct.pack("<HHI", 323, 4, 1)) + 8
    with pytest.raises(InvalidImage, match="tiles of 9000 x 9000 pixels, larger than its picture"):
        decode(data[:at] + struct.pack("<I", 9_000) + data[at + 4 :], SETTINGS)


@pytest.mark.parametrize(("count", "bits", "error"), [(9, 1, UnsupportedMediaType), (6, 16, ImageTooLarge)])
def test_samples_of_a_tiff_have_a_limit(count: int, bits: int, error: type[Exception]) -> None:
    """Deflate never reaches the ratio of a bomb."""
    page: NDArray[np.integer] = np.broadcast_to(np.int64(0), (6_000, 6_000, count))
    blank = zlib.compress(bytes(6_000 * count * bits // 8 * 100), 9)
    data = tiff.write_tiff(
        page, bits, tiff.RGB, compression=tiff.DEFLATE, rows=100, encode=lambda _: blank,
        tags={338: (0,) * (count - 3)}, undefined={40_000: bytes(300_000)},
    )  # fmt: skip
    with pytest.raises(error, match=r"9 samples a pixel|96 bits, 432,000,000 bytes in all"):
        decode(data, SETTINGS)


SAMPLES = np.random.default_rng(3).integers(0, 256, (600, 1_000, 4))
LARGE = {
    "TIFF, associated": tiff.write_tiff(SAMPLES, 8, tiff.RGB, tags={338: (1,)}, rows=100),
    "TIFF, associated, 16 bits": tiff.write_tiff(SAMPLES * 257, 16, tiff.RGB, tags={338: (1,)}, rows=100),
    "TIFF, CMYK, 16 bits": tiff.write_tiff(SAMPLES * 257, 16, tiff.CMYK, rows=100),
    "PNG, tRNS": png.write_png(SAMPLES[..., :1], 8, png.GREY, transparent=b"\0\7"),
    "PNG, tRNS, 16 bits": png.write_png(SAMPLES[..., :3] * 257, 16, png.RGB, transparent=b"\0\7" * 3),
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_pictures_are_held_a_few_times(kind: str) -> None:
    """Noise, so that the file is as large as its samples."""
    data = LARGE[kind]
    assert peak_of(data) < 3.5 * max(len(data), decode(data, SETTINGS).pixels.nbytes)
