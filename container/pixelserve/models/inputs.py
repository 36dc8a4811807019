"""What networks that recognise take of a picture: 8-bit RGB within the documented size, shrunk into their input."""

from __future__ import annotations

import cv2
import numpy as np

from pixelserve.imaging import Image, Pixels, check_edge, flatten, to_8_bit, to_srgb

LONGEST_EDGE = 4096
"""Of pictures to segment or compare, as AI Solution Kit documents it."""


def check_size(width: int, height: int) -> None:
    """Raises ImageTooLarge for edges above LONGEST_EDGE."""
    check_edge(width, height, LONGEST_EDGE)


def as_rgb(image: Image) -> Pixels:
    """(H, W, 3) uint8 in sRGB; grey spread, transparency laid on white.

    Raises ImageTooLarge for edges above LONGEST_EDGE.
    """
    check_size(image.width, image.height)
    pixels, _ = to_srgb(to_8_bit(image.pixels), "RGB" if image.channels >= 3 else "GRAY", image.icc)
    return spread(pixels)


def spread(pixels: Pixels) -> Pixels:
    """(H, W, C) uint8 or uint16 to (H, W, 3) uint8; grey spread, transparency laid on white."""
    pixels = flatten(to_8_bit(pixels))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def resized(rgb: Pixels, ratio: float) -> Pixels:
    """The picture with both edges times `ratio`, antialiased when shrunk; itself where that is its size."""
    size = (max(1, round(rgb.shape[1] * ratio)), max(1, round(rgb.shape[0] * ratio)))
    if size == rgb.shape[1::-1]:
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR))


def centred(rgb: Pixels, width: int, height: int) -> tuple[Pixels, int, int]:
    """The picture shrunk or enlarged to fit into (height, width), and the left and top that put it in the middle."""
    small = resized(rgb, min(width / rgb.shape[1], height / rgb.shape[0]))
    return small, (width - small.shape[1]) // 2, (height - small.shape[0]) // 2


def stretched(rgb: Pixels, width: int, height: int) -> Pixels:
    """The picture in (height, width) whatever its aspect, antialiased when it has more pixels than that."""
    shrinks = rgb.shape[0] * rgb.shape[1] > width * height
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def cropped(rgb: Pixels, width: int, height: int) -> Pixels:
    """The middle of the picture in (height, width), its shorter side filling that."""
    ratio = max(width / rgb.shape[1], height / rgb.shape[0])
    columns, rows = (
        min(edge, max(1, round(size / ratio))) for edge, size in ((rgb.shape[1], width), (rgb.shape[0], height))
    )
    left, top = (rgb.shape[1] - columns) // 2, (rgb.shape[0] - rows) // 2
    return stretched(rgb[top : top + rows, left : left + columns], width, height)
