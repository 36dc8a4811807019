"""Fax-coded TIFF: libtiff writes, our own decoder reads the same, and notices what is damaged, missing or too much."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tiff_files as tiff
from numpy.typing import NDArray
from PIL import Image as Pillow

from pixelserve.errors import InvalidImage, UnsupportedMediaType
from pixelserve.imaging import decode
from pixelserve.imaging.formats.fax import MOST_BYTES

Rows = NDArray[np.bool_]
RNG = np.random.default_rng(5)
CODINGS = {
    "runs": ("tiff_ccitt", 0),
    "T.4": ("group3", 0),
    "T.4, filled up": ("group3", 4),
    "T.4 by both": ("group3", 1),
    "T.4 by both, filled up": ("group3", 5),
    "T.6": ("group4", 0),
}
"""Pillow's name of each, and T4Options."""


def written(rows: Rows, coding: str, strip: int = 1 << 16) -> bytes:
    """By libtiff; True is white."""
    compression, options = CODINGS[coding]
    buffer = io.BytesIO()
    Pillow.fromarray(rows).save(
        buffer, "TIFF", compression=compression, strip_size=strip, tiffinfo={292: options} if options else {}
    )
    return buffer.getvalue()


def place_of(data: bytes) -> slice:
    """Where the only strip is."""
    with Pillow.open(io.BytesIO(data)) as picture:
        return slice(picture.tag_v2[273][0], picture.tag_v2[273][0] + picture.tag_v2[279][0])


def like_a_page(width: int, height: int) -> Rows:
    """Cells that go on below, a little to the side, so that all modes are used; and some noise."""
    cells = RNG.integers(0, 2, (height // 9 + 1, width // 7 + 2)).repeat(9, axis=0).repeat(7, axis=1)
    moved = np.stack([np.roll(row, RNG.integers(-4, 5)) for row in cells[:height]])[:, :width].astype(bool)
    return moved ^ (RNG.random(moved.shape) < 0.01)


@pytest.mark.parametrize("coding", CODINGS)
def test_what_libtiff_writes(coding: str) -> None:
    for width, height in ((1, 1), (8, 3), (37, 21), (64, 64), (131, 50)):
        for rows in (like_a_page(width, height), RNG.random((height, width)) < 0.5, np.ones((height, width), bool)):
            found = decode(written(rows, coding, strip=width)).pixels
            assert np.array_equal(found[..., 0] == 255, rows)


@pytest.mark.parametrize("coding", CODINGS)
def test_runs_of_any_length(coding: str) -> None:
    """White, black, white, for each number of pixels up to those that take two codes of the longest run."""
    width = 5_300
    ends = np.arange(1, width - 1)[:, None]
    places = np.arange(width)
    for start in (0, 1):
        rows = (places < start) | (places >= start + ends)
        assert np.array_equal(decode(written(rows[::5], coding)).pixels[..., 0] == 255, rows[::5])
        assert np.array_equal(decode(written(~rows[::5], coding)).pixels[..., 0] == 255, ~rows[::5])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_zeros_inside_or_a_half_that_is_missing(coding: str, place: float) -> None:
    """libtiff goes on over both, and gives a page that is white from there on."""
    rows = like_a_page(400, 300)
    data = written(rows, coding)
    strip = place_of(data)
    at = strip.start + int(place * (strip.stop - strip.start))
    for broken in (data[:at] + bytes(60) + data[at + 60 :], data[:at] + bytes(strip.stop - at) + data[strip.stop :]):
        with pytest.raises(InvalidImage, match="The TIFF file is damaged"):
            decode(broken)


def test_codes_that_end_before_the_last_row() -> None:
    half = written(like_a_page(64, 20), "T.6")
    rows = np.zeros((40, 64, 1), bool)
    fax = tiff.write_tiff(rows, 1, tiff.WHITE_IS_ZERO, compression=tiff.FAX_4, encode=lambda _: half[place_of(half)])
    with pytest.raises(InvalidImage, match="The TIFF file is damaged"):
        decode(fax)


def test_more_codes_than_can_be_read_in_time() -> None:
    rows = np.zeros((8, 8, 1), bool)
    data = tiff.write_tiff(rows, 1, tiff.WHITE_IS_ZERO, compression=tiff.FAX_4, encode=lambda _: bytes(MOST_BYTES + 1))
    with pytest.raises(UnsupportedMediaType, match="1,000,000 bytes of fax compression"):
        decode(data)
