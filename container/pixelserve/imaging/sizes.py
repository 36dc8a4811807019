"""The arithmetic of sizes: which pictures are taken, and how large an answer becomes. Needs no pixels, no libraries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pixelserve.errors import ImageTooLarge, OutputTooLarge
from pixelserve.media_types import format_of
from pixelserve.schema import TARGET_PIXELS, Target
from pixelserve.settings import Settings

BOMB_FLOOR_BYTES = 128 * 1024 * 1024
"""Below this many decoded bytes a high ratio to the encoded ones does no harm: a blank page is no bomb."""
MOST_PIXEL_BYTES = 8
"""Of a picture with as many pixels as are allowed."""
MOST_SCANNED_PIXELS = 750_000_000
"""Pixels times scans of a JPEG, some two seconds of a core. Encoders write about ten scans."""


FORMAT_EDGES = {"jpeg": 65_500, "webp": 16_383}
"""Longest edge that an answer of a format holds: libjpeg's limit, and RFC 9649's."""
_INSTEAD = {"jpeg": "PNG", "webp": "PNG or JPEG"}
_WRITTEN = {"jpeg": "JPEG", "webp": "WebP"}


@dataclass(frozen=True)
class Plan:
    """What becomes of a picture: the size of the answer, and the network's `factor` (2, 4, or 1 for none).

    Where width and height are not the picture's times the factor, the network's result is resampled to them.
    """

    width: int
    height: int
    factor: int


def check_input(width: int, height: int, settings: Settings) -> None:
    """Raises ImageTooLarge for a picture of more pixels than `max_pixels_in`, or a longer edge than `max_edge`."""
    pixels = width * height
    if max(width, height) > settings.max_edge:
        raise ImageTooLarge(
            f"The image has {width} x {height} pixels; the longest edge may have {settings.max_edge:,}. Shrink it, or "
            "raise PIXELSERVE_MAX_EDGE."
        )
    if pixels > settings.max_pixels_in:
        raise ImageTooLarge(
            f"The image has {width} x {height} pixels, {pixels:,} in all; {settings.max_pixels_in:,} are allowed. "
            "Shrink it, or raise PIXELSERVE_MAX_PIXELS_IN."
        )


def check_edge(width: int, height: int, longest: int) -> None:
    """Raises ImageTooLarge for edges that a feature does not take, whatever the settings allow."""
    if max(width, height) > longest:
        raise ImageTooLarge(f"The image has {width} x {height} pixels; its edges may have {longest:,}. Shrink it.")


def check_format(width: int, height: int, format: str) -> None:
    """Raises OutputTooLarge for an answer of longer edges than a file of its `format`, or media type, can have."""
    format = format_of(format)
    most = FORMAT_EDGES.get(format)
    if most is not None and max(width, height) > most:
        raise OutputTooLarge(
            f"The answer would have {width} x {height} pixels; {_WRITTEN[format]} holds edges up to {most:,}. Ask for "
            f"{_INSTEAD[format]}.",
            param="format",
        )


def check_ratio(width: int, height: int, bits: int, size: int, settings: Settings) -> None:
    """Raises ImageTooLarge for a decompression bomb: too many `bits` a pixel, as stored, for a file of `size` bytes.

    Deflate reaches no higher ratio than some 1,000, so that what is decoded has a limit of its own: that of a picture
    of `max_pixels_in` pixels of four samples of 16 bits.
    """
    decoded = width * height * bits // 8
    if decoded > MOST_PIXEL_BYTES * settings.max_pixels_in:
        raise ImageTooLarge(
            f"The image has {width} x {height} pixels of {bits} bits, {decoded:,} bytes in all; "
            f"{MOST_PIXEL_BYTES * settings.max_pixels_in:,} are allowed. Save it with fewer samples a pixel, shrink "
            "it, or raise PIXELSERVE_MAX_PIXELS_IN."
        )
    if decoded > BOMB_FLOOR_BYTES and decoded > settings.max_decode_ratio * size:
        raise ImageTooLarge(
            f"The image has {width} x {height} pixels in a file of {size:,} bytes, more than "
            f"{settings.max_decode_ratio:,} bytes for each stored one. Save it in another format, or raise "
            "PIXELSERVE_MAX_DECODE_RATIO."
        )


def check_scans(width: int, height: int, scans: int) -> None:
    """Raises ImageTooLarge for a JPEG that would cost a decoder seconds: each scan goes over all its pixels."""
    if width * height * scans > MOST_SCANNED_PIXELS:
        raise ImageTooLarge(
            f"The image has {width} x {height} pixels in {scans} scans, more than can be decoded in time. Save it with "
            "fewer scans, or as baseline JPEG."
        )


def plan_output(width: int, height: int, scale: int, target: Target | None, settings: Settings) -> Plan:
    """How a picture is enlarged by `scale` (2 or 4) or to `target`.

    For a target the aspect is kept and the area brought to that of the target, never shrunk. The factor is the
    smallest that reaches the size, 4 for what none reaches. Raises OutputTooLarge above `max_pixels_out`.
    """
    ratio = float(scale)
    if target is not None:
        ratio = max(1.0, math.sqrt(TARGET_PIXELS[target] / (width * height)))
    wide, high = max(1, round(width * ratio)), max(1, round(height * ratio))
    if wide * high > settings.max_pixels_out:
        raise OutputTooLarge(
            f"The answer would have {wide} x {high} pixels, {wide * high:,} in all; {settings.max_pixels_out:,} are "
            "allowed. Ask for a smaller scale, send a smaller image, or raise PIXELSERVE_MAX_PIXELS_OUT.",
            param="scale" if target is None else "target",
        )
    if (wide, high) == (width, height):
        return Plan(wide, high, 1)
    return Plan(wide, high, 2 if max(wide / width, high / height) <= 2 else 4)
