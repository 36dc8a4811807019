"""Damage is refused whatever the kind of file and the way it is decoded; what is no damage is not."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import jpeg_files as jpeg
import numpy as np
import png_files as png
import pytest
import tiff_files as tiff
from bmp_files import CORE, INFO, RUNS_8, V4, rows_of, write_bmp
from cells import any_name, cells
from hypothesis import given, settings
from hypothesis import strategies as st
from jpeg_files import Jpeg

from pixelserve.errors import InvalidImage, PixelserveError, UnsupportedMediaType
from pixelserve.imaging import decode
from pixelserve.settings import Settings

SETTINGS = Settings()
RNG = np.random.default_rng(7)
BLOCKS = list(RNG.integers(0, 256, (4, 20, 20), np.uint8))
JPEGS = {
    "grey": Jpeg(160, 160, BLOCKS[:1]),
    "colour": Jpeg(160, 160, BLOCKS[:3]),
    "apart": Jpeg(160, 160, BLOCKS[:3], interleaved=False),
    "progressive": Jpeg(160, 160, BLOCKS[:3], process=jpeg.PROGRESSIVE, refined=True),
    "restarts": Jpeg(160, 160, BLOCKS[:3], restart=5),
    "cmyk": Jpeg(160, 160, BLOCKS, transform=0),
    "profile": Jpeg(160, 160, BLOCKS[:3], segments=[(0xE2, b"ICC_PROFILE\0\1\1" + bytes(200))]),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_with_zeros_inside_or_cut_in_the_middle(kind: str) -> None:
    data = JPEGS[kind].write()
    whole = decode(data, SETTINGS).pixels
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    for broken in (
        data[:middle] + bytes(40) + data[middle + 40 :],
        data[:middle],
        data[:middle] + b"\xff\xd9",
    ):
        with pytest.raises(InvalidImage, match=r"The JPEG file is (damaged|cut off)"):
            decode(broken, SETTINGS)
    for short in (data[:-1], data[:-2]):
        assert np.array_equal(decode(short, SETTINGS).pixels, whole)
    assert np.array_equal(decode(data + b"and more", SETTINGS).pixels, whole)


@pytest.mark.parametrize("kind", ["grey", "colour", "restarts", "cmyk"])
@pytest.mark.parametrize("count", [1, 2, 8, 500])
def test_zeros_behind_the_last_code_are_no_damage(kind: str, count: int) -> None:
    """Some cameras write them; a scan that lacks its end and has zeros in its place stays damaged."""
    data = JPEGS[kind].write()
    filled = data[:-2] + bytes(count) + data[-2:]
    assert np.array_equal(decode(filled, SETTINGS).pixels, decode(data, SETTINGS).pixels)
    with pytest.raises(InvalidImage, match="The JPEG file is damaged"):
        decode(data[:-40] + bytes(40 + count) + data[-2:], SETTINGS)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_progressive_jpeg_whose_last_scans_are_missing(end: bytes) -> None:
    data = JPEGS["progressive"].write()
    with pytest.raises(InvalidImage, match="last scans are missing"):
        decode(data[: data.rfind(b"\xff\xda")] + end, SETTINGS)


@pytest.mark.parametrize("bits", [1, 8, 16])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_whose_pixels_end_early(bits: int, interlaced: bool) -> None:
    """Its checksums are right, and so is that of its deflated data: only rows are missing."""
    data = png.write_png(RNG.integers(0, 1 << bits, (40, 40, 1)), bits, png.GREY, interlaced=interlaced)
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    parts, position = b"", start
    while position < end:
        length = struct.unpack_from("!I", data, position)[0]
        parts += data[position + 8 : position + 8 + length]
        position += 12 + length
    raw = zlib.decompress(parts)
    for rest in (zlib.compress(raw[: len(raw) // 2]), parts[: len(parts) // 2], zlib.compress(b"\7" + raw[1:])):
        with pytest.raises(InvalidImage, match="The PNG file is damaged"):
            decode(data[:start] + png.chunk(b"IDAT", rest) + data[end:], SETTINGS)


def test_an_index_beyond_the_palette() -> None:
    indices = np.full((4, 4, 1), 3)
    with pytest.raises(InvalidImage, match="PNG"):
        decode(png.write_png(indices, 2, png.PALETTE, palette=bytes(9)), SETTINGS)
    bmp = write_bmp(rows_of(indices[..., 0], 4), 4, 4, 4, palette=np.zeros((3, 3), np.uint8))
    with pytest.raises(InvalidImage, match="BMP"):
        decode(bmp, SETTINGS)


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_bmp_that_is_cut_off(cut: int) -> None:
    data = write_bmp(rows_of(RNG.integers(0, 256, (21, 16, 3)), 24), 16, 21, 24)
    with pytest.raises(InvalidImage, match="The BMP file is cut off"):
        decode(data[:-cut], SETTINGS)


@pytest.mark.parametrize("header", [CORE, INFO, V4])
@pytest.mark.parametrize("bits", [4, 24])
def test_a_bmp_whose_pixels_lie_where_they_cannot(header: int, bits: int) -> None:
    """But 0 is what writers leave there that do not say where: behind the headers."""
    palette = RNG.integers(0, 256, (16, 3), np.uint8) if bits == 4 else None
    values = RNG.integers(0, 16, (5, 5)) if bits == 4 else RNG.integers(0, 256, (5, 5, 3), np.uint8)
    data = write_bmp(rows_of(values, bits), 5, 5, bits, header=header, palette=palette)
    expected = decode(data, SETTINGS).pixels
    assert np.array_equal(decode(data[:10] + bytes(4) + data[14:], SETTINGS).pixels, expected)
    for offset in (1, 14, 14 + header - 1):
        with pytest.raises(InvalidImage, match="pixels lie in its headers"):
            decode(data[:10] + struct.pack("<I", offset) + data[14:], SETTINGS)


def test_the_padding_of_the_last_row_may_be_missing() -> None:
    values = RNG.integers(0, 256, (5, 5, 3), np.uint8)
    data = write_bmp(rows_of(values, 24), 5, 5, 24)
    assert np.array_equal(decode(data[:-1], SETTINGS).pixels, values)


RUNS = {
    "a row and nothing": b"\5\1",
    "a row beyond the last": b"\5\1\0\0" * 3,
    "a run over the edge": b"\6\1\0\0\5\1\0\1",
    "a literal over the edge": b"\3\1\0\3\1\1\1\0\0\0\5\1\0\1",
    "a literal that is cut off": b"\5\1\0\0\0\5\1\1",
    "a skip over the edge": b"\4\1\0\2\2\1\1\1\0\1",
    "a skip below the last row": b"\0\2\0\2\5\1\0\1",
    "half a code": b"\5\1\0\0\5",
    "a colour beyond the palette": b"\5\1\0\0\5\2\0\1",
}


@pytest.mark.parametrize("runs", RUNS)
def test_run_lengths_that_do_not_fit(runs: str) -> None:
    """Those of bmpsuite's badrle files are such, which other decoders draw elsewhere."""
    palette = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    with pytest.raises(InvalidImage, match="The BMP file is damaged"):
        decode(write_bmp(RUNS[runs], 5, 2, 8, compression=RUNS_8, palette=palette), SETTINGS)


def test_more_run_lengths_than_can_be_read_in_time() -> None:
    with pytest.raises(UnsupportedMediaType, match="5,000,000 bytes of run lengths"):
        decode(write_bmp(bytes(5_000_001), 5, 2, 8, compression=RUNS_8), SETTINGS)


@pytest.mark.parametrize(
    "runs", [b"\5\1\0\1\xff\2" * 90, b"\5\1\0\0\0\0\0\1", b"\5\1\0\2\0\1\0\1", b"\5\1\0\0\0\0\0\0\5\1"]
)
def test_rows_that_no_run_covers_have_the_first_colour(runs: bytes) -> None:
    """And what follows the end of the picture does not count."""
    palette = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    data = write_bmp(runs, 5, 2, 8, compression=RUNS_8, palette=palette)
    assert np.array_equal(decode(data, SETTINGS).pixels, [[[0]] * 5, [[255]] * 5])


@pytest.mark.parametrize("offset", [0.3, 0.6, 0.9])
def test_zeros_inside_a_deflated_strip(offset: float) -> None:
    """Its rows are all there, but its checksum is another."""
    data = tiff.write_tiff(RNG.integers(0, 60, (64, 64, 3)), 8, tiff.RGB, compression=tiff.DEFLATE)
    at = int(offset * len(data))
    with pytest.raises(InvalidImage, match="The TIFF file is damaged"):
        decode(data[:at] + bytes(9) + data[at + 9 :], SETTINGS)


def test_the_last_strip_may_be_filled_up() -> None:
    samples = RNG.integers(0, 256, (21, 8, 1))

    def filled(part: np.ndarray) -> bytes:
        return zlib.compress(part.astype(np.uint8).tobytes().ljust(8 * 8, b"\0"))

    data = tiff.write_tiff(samples, 8, tiff.BLACK_IS_ZERO, compression=tiff.DEFLATE, rows=8, encode=filled)
    assert np.array_equal(decode(data, SETTINGS).pixels, samples)


@pytest.mark.parametrize("method", [tiff.PLAIN, tiff.LZW, tiff.DEFLATE, tiff.FAX_4])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_tiff_whose_strips_are_short_or_outside(method: int, tile: tuple[int, int] | None) -> None:
    samples = RNG.integers(0, 2, (32, 4, 1)).repeat(8, axis=1)
    data = tiff.write_tiff(samples, 1, tiff.BLACK_IS_ZERO, compression=method, tile=tile, rows=8)
    assert decode(data, SETTINGS).height == 32
    sizes = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 325 if tile else 279, 4, 4)) + 8)[0]
    broken = bytearray(data)
    broken[sizes : sizes + 4] = struct.pack("<I", struct.unpack_from("<I", data, sizes)[0] // 2)
    with pytest.raises(InvalidImage, match="The TIFF file is damaged"):
        decode(bytes(broken), SETTINGS)
    if method != tiff.PLAIN:
        broken[sizes : sizes + 4] = struct.pack("<I", 1 << 30)
        with pytest.raises(InvalidImage, match="The TIFF file is cut off"):
            decode(bytes(broken), SETTINGS)


def test_a_tiff_that_leaves_out_strips_or_its_colours() -> None:
    data = tiff.write_tiff(RNG.integers(0, 256, (9, 8, 1)), 8, tiff.BLACK_IS_ZERO)
    for tag, number, said in ((279, 0, "has strips or tiles without any bytes"), (262, 40_000, "does not say what")):
        at = data.index(struct.pack("<HH", tag, 4 if tag == 279 else 3))
        changed = struct.pack("<H", number or tag) + data[at + 2 : at + 8] + bytes(4)
        with pytest.raises(InvalidImage, match=said):
            decode(data[:at] + changed + data[at + 12 :], SETTINGS)


def test_a_jpeg_in_a_tiff_is_read_strictly() -> None:
    blocks = RNG.integers(0, 256, (16, 16), np.uint8)

    def encode(part: np.ndarray) -> bytes:
        data = Jpeg(part.shape[1], part.shape[0], [part[::8, ::8, 0]]).write()
        return data[: 2 * len(data) // 3] + b"\xff\xd9"

    samples = blocks.repeat(8, axis=0).repeat(8, axis=1)[..., None]
    with pytest.raises(InvalidImage, match="damaged"):
        decode(tiff.write_tiff(samples, 8, tiff.BLACK_IS_ZERO, compression=tiff.JPEG, encode=encode), SETTINGS)


CELLS = cells()


def decode_or_4xx(data: bytes) -> None:
    status = 200
    try:
        decode(data, Settings(max_pixels_in=1_000_000))
    except PixelserveError as error:
        status = error.status
    assert status < 500


mutated = given(
    any_name(CELLS),
    st.integers(0, 1 << 32),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0.05, 1),
)


def decode_mutated(name: str, seed: int, changes: list[tuple[float, int]], keep: float) -> None:
    data = bytearray(CELLS[name](np.random.default_rng(seed), 40, 24).data)
    for position, value in changes:
        data[int(position * len(data))] = value
    decode_or_4xx(bytes(data[: int(keep * len(data)) + 1]))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@mutated
def test_any_kind_mutated_or_cut_is_a_picture_or_4xx(
    name: str, seed: int, changes: list[tuple[float, int]], keep: float
) -> None:
    decode_mutated(name, seed, changes, keep)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@settings(max_examples=30_000, deadline=None, database=None)
@mutated
def test_many_kinds_mutated_or_cut(name: str, seed: int, changes: list[tuple[float, int]], keep: float) -> None:
    decode_mutated(name, seed, changes, keep)


NUMBERS = st.sampled_from([0, 1, 2, 3, 8, 255, 4_000, 65_535, 99_999, 300_000, 1 << 31, (1 << 32) - 1])
HELD_BYTES = 500_000_000
"""Tiles of a small picture may have some 17 million pixels."""


@settings(max_examples=300, deadline=20_000, derandomize=True, database=None)
@given(
    st.sampled_from(
        sorted(name for name in CELLS if name.startswith("tiff") and ">" not in name and "-big-" not in name)
    ),
    st.lists(st.tuples(st.integers(0, 20), st.booleans(), NUMBERS), min_size=1, max_size=4),
)
def test_any_counts_and_values_of_tags_are_a_picture_or_4xx(name: str, changes: list[tuple[int, bool, int]]) -> None:
    """Soon, and in little memory. The file is long, so that what they tell may lie in it."""
    data = bytearray(CELLS[name](np.random.default_rng(1), 40, 24).data)
    (directory,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, directory)
    for entry, is_count, value in changes:
        struct.pack_into("<I", data, directory + 2 + 12 * (entry % number) + (4 if is_count else 8), value)
    tracemalloc.start()
    try:
        decode_or_4xx(bytes(data) + bytes(1_000_000))
        assert tracemalloc.get_traced_memory()[1] < HELD_BYTES
    finally:
        tracemalloc.stop()
