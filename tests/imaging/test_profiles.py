"""Profiles count for what they are, and only where they fit; no metadata costs a picture."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import png_files as png
import pytest
import tiff_files as tiff
from bmp_files import V5, rows_of, write_bmp
from jpeg_files import Jpeg
from PIL import Image as Pillow

from pixelserve.errors import UnsupportedMediaType
from pixelserve.imaging import decode
from pixelserve.models.inputs import as_rgb
from pixelserve.settings import Settings

SETTINGS = Settings()
SRGB = ((0.436066, 0.222488, 0.013916), (0.385147, 0.716873, 0.097076), (0.143066, 0.060608, 0.714096))
"""XYZ of red, green and blue under D50 (IEC 61966-2-1, adapted as ICC.1 has it)."""
SWAPPED = SRGB[::-1]
RNG = np.random.default_rng(3)


def profile(space: bytes = b"RGB ", name: str = "Unnamed", curve: bytes | None = None, primaries: Any = SRGB) -> bytes:
    """An ICC profile, version 2 (ICC.1:2001-04): a matrix and curves, or a grey curve."""
    curve = curve if curve is not None else srgb_curve()
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack("!I", len(text)) + text + bytes(78),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for color, values in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags[color + b"XYZ"] = xyz(*values)
            tags[color + b"TRC"] = curve
    table, body = struct.pack("!I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += tag + struct.pack("!II", start + len(body), len(data))
        body += padded
    size = start + len(body)
    head = struct.pack("!I4sI4s4s4s12x4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack("!iii", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    return head.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack("!iii", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack("!IH", 1, round(value * 256))


def srgb_curve() -> bytes:
    x = np.linspace(0, 1, 1024)
    y = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + struct.pack("!I", len(x)) + np.rint(y * 65535).astype(">u2").tobytes()


def from_linear(pixels: Any) -> Any:
    x = pixels / 255
    return np.rint(255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055))


def png_with(icc: bytes, pixels: Any, color: int = png.RGB, bits: int = 8) -> bytes:
    return png.write_png(pixels, bits, color, before=[png.chunk(b"iCCP", b"any\0\0" + zlib.compress(icc))])


PIXELS = RNG.integers(0, 256, (8, 9, 3), np.uint8)


@pytest.mark.parametrize("name", ["Linear sRGB", "sRGB IEC61966-2.1", "something"])
def test_a_profile_is_not_what_it_is_called(name: str) -> None:
    linear = decode(png_with(profile(name=name, curve=gamma(1)), PIXELS), SETTINGS)
    assert linear.icc is None
    assert np.abs(linear.pixels - from_linear(PIXELS)).max() <= 1
    swapped = decode(png_with(profile(name=name, primaries=SWAPPED), PIXELS), SETTINGS)
    assert np.abs(swapped.pixels.astype(int) - PIXELS[..., ::-1]).max() <= 2
    same = decode(png_with(profile(name=name), PIXELS), SETTINGS)
    assert np.array_equal(same.pixels, PIXELS)


def test_a_profile_in_each_format() -> None:
    icc = profile(curve=gamma(1))
    blocks = np.full((1, 1), 40, np.uint8)
    parts = [
        (0xE2, b"ICC_PROFILE\0" + bytes([number + 1, 2]) + part) for number, part in enumerate((icc[:99], icc[99:]))
    ]
    files = {
        "jpeg": Jpeg(8, 8, [blocks] * 3, transform=0, segments=parts).write(),
        "jpeg, parts exchanged": Jpeg(8, 8, [blocks] * 3, transform=0, segments=parts[::-1]).write(),
        "tiff": tiff.write_tiff(np.full((8, 8, 3), 40), 8, tiff.RGB, undefined={34675: icc}),
        "bmp": write_bmp(rows_of(np.full((8, 8, 3), 40), 24), 8, 8, 24, header=V5, profile=icc),
        "webp": webp_with(icc, np.full((8, 8, 3), 40, np.uint8)),
        "alpha": png_with(icc, np.full((8, 8, 4), 40), png.RGBA),
    }
    for name, data in files.items():
        pixels = decode(data, SETTINGS).pixels
        assert np.abs(pixels[..., :3] - from_linear(np.array(40.0))).max() <= 1, name
    assert (decode(files["alpha"], SETTINGS).pixels[..., 3] == 40).all()


def webp_with(icc: bytes, pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, "WEBP", lossless=True, icc_profile=icc)
    return buffer.getvalue()


def test_a_grey_profile_of_a_grey_picture() -> None:
    grey = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16), RNG.integers(0, 256, (16, 16), np.uint8)], axis=2)
    found = decode(png_with(profile(b"GRAY", curve=gamma(1)), grey, png.GREY_ALPHA), SETTINGS)
    assert np.abs(found.pixels[..., 0] - from_linear(grey[..., 0])).max() <= 1
    assert np.array_equal(found.pixels[..., 1], grey[..., 1])


def test_16_bits_keep_their_profile_until_a_network_wants_8() -> None:
    """Which segmentation and similarity do."""
    icc = profile(curve=gamma(1))
    image = decode(png_with(icc, PIXELS.astype(np.uint16) * 257, bits=16), SETTINGS)
    assert (image.icc, image.depth) == (icc, 16)
    assert np.abs(as_rgb(image) - from_linear(PIXELS)).max() <= 1
    grey = decode(
        png_with(profile(b"GRAY", curve=gamma(1)), PIXELS[..., :1].astype(np.uint16) * 257, png.GREY, 16), SETTINGS
    )
    assert np.abs(as_rgb(grey) - from_linear(PIXELS[..., :1])).max() <= 1


UNFIT = {
    "CMYK": profile(b"CMYK"),
    "grey": profile(b"GRAY"),
    "Lab": profile(b"Lab "),
    "a link": profile()[:12] + b"link" + profile()[16:],
    "cut off": profile()[:300],
    "junk": b"no profile at all",
    "empty": b"",
}


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_profile_that_does_not_fit_is_dropped_and_logged(
    kind: str, bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = RNG.integers(0, 1 << bits, (8, 9, 3))
    icc = UNFIT[kind] + bytes([bits])  # not one that was judged, and logged, before
    with caplog.at_level(logging.WARNING, "pixelserve.imaging"):
        found = decode(png_with(icc, pixels, bits=bits), SETTINGS)
    assert found.icc is None
    assert np.array_equal(found.pixels, pixels)
    assert "a profile is dropped" in caplog.text


@pytest.mark.parametrize("colors", [b"\1\r\0\1", b"\1\1\0\1", b"\6\6\0\1", b"\2\2\0\1", b"\x09\x10"])
def test_cicp_of_srgb_and_of_video_changes_nothing(colors: bytes) -> None:
    data = png.write_png(PIXELS, 8, png.RGB, before=[png.chunk(b"cICP", colors)])
    assert np.array_equal(decode(data, SETTINGS).pixels, PIXELS)


@pytest.mark.parametrize("colors", [b"\x09\x10\0\1", b"\x0c\r\0\1", b"\1\x08\0\1", b"\x09\x12\0\1"])
def test_other_colours_that_cicp_tells_are_refused(colors: bytes) -> None:
    """HDR, Display P3, linear."""
    with pytest.raises(UnsupportedMediaType, match=f"other colours than sRGB .cICP {colors[0]}, {colors[1]}"):
        decode(png.write_png(PIXELS, 8, png.RGB, before=[png.chunk(b"cICP", colors)]), SETTINGS)


def test_profiles_that_are_too_large_are_dropped_and_none_is_kept_for_long(caplog: pytest.LogCaptureFixture) -> None:
    tracemalloc.start()
    with caplog.at_level(logging.WARNING, "pixelserve.imaging"):
        for size in (4_000_001, *range(500_000, 500_050)):
            data = tiff.write_tiff(PIXELS, 8, tiff.RGB, undefined={34675: bytes(size)})
            assert np.array_equal(decode(data, SETTINGS).pixels, PIXELS)
    del data
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert "it has 4000001 bytes" in caplog.text
    assert held < 10_000_000


def test_an_rgb_profile_of_a_grey_picture_is_dropped() -> None:
    grey = RNG.integers(0, 256, (8, 9, 1), np.uint8)
    assert np.array_equal(decode(png_with(profile(curve=gamma(1)), grey, png.GREY), SETTINGS).pixels, grey)


def exif(kind: int, count: int, value: bytes, order: bytes = b"II") -> bytes:
    mark = "<" if order == b"II" else ">"
    head = order + struct.pack(f"{mark}HIH", 42, 8, 1)
    return head + struct.pack(f"{mark}HHI", 0x0112, kind, count) + value.ljust(4, b"\0") + bytes(4)


TURNED = {
    "short": exif(3, 1, b"\6\0"),
    "short, big-endian": exif(3, 1, b"\0\6", b"MM"),
    "long": exif(4, 1, b"\6\0\0\0"),
    "byte": exif(1, 1, b"\6"),
}
NOT_TURNED = {
    "text": exif(2, 2, b"6\0"),
    "rational": exif(5, 1, b"\x08\0\0\0"),
    "float": exif(11, 1, struct.pack("<f", 6)),
    "none": exif(3, 0, b"\6\0"),
    "nine": exif(3, 1, b"\x09\0"),
    "huge": exif(4, 1, b"\xff\xff\xff\xff"),
    "garbage": b"garbage",
    "empty": b"",
    "cut off": exif(3, 1, b"\6\0")[:14],
    "directory outside": b"II*\0\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("kind", [*TURNED, *NOT_TURNED])
def test_odd_exif_is_orientation_1(kind: str) -> None:
    data = (TURNED | NOT_TURNED)[kind]
    pixels = RNG.integers(0, 256, (8, 16, 3), np.uint8)
    expected = np.rot90(pixels, -1) if kind in TURNED else pixels
    files = [
        png.write_png(pixels, 8, png.RGB, before=[png.chunk(b"eXIf", data)]),
        png.write_png(pixels, 8, png.RGB)[:-12] + png.chunk(b"eXIf", data) + png.chunk(b"IEND"),
    ]
    for file in files:
        assert np.array_equal(decode(file, SETTINGS).pixels, expected)
    blocks = [np.array([[10, 200]], np.uint8)] * 3
    jpeg = decode(Jpeg(16, 8, blocks, segments=[(0xE1, b"Exif\0\0" + data)]).write(), SETTINGS)
    assert (jpeg.width, jpeg.height) == ((8, 16) if kind in TURNED else (16, 8))


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"pHYs", b"eXIf", b"iCCP", b"sRGB", b"tIME"])
def test_an_ancillary_chunk_with_a_wrong_checksum_costs_nothing(kind: bytes) -> None:
    content = exif(3, 1, b"\6\0") if kind == b"eXIf" else b"any\0\0" + zlib.compress(profile(curve=gamma(1)))
    data = png.write_png(PIXELS, 8, png.RGB, before=[png.chunk(kind, content, wrong=True)])
    assert np.array_equal(decode(data, SETTINGS).pixels, PIXELS)


@pytest.mark.parametrize("junk", [b"\0\0\0", b"text", b"\xff\xff\xff"])
def test_junk_between_a_jpegs_segments_costs_nothing(junk: bytes) -> None:
    data = Jpeg(16, 8, [np.array([[10, 200]], np.uint8)], segments=[(0xE5, b"any"), (0xFE, b"comment")]).write()
    at = data.index(b"\xff\xfe")
    assert np.array_equal(decode(data[:at] + junk + data[at:], SETTINGS).pixels, decode(data, SETTINGS).pixels)
