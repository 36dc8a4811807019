"""PNG files written byte by byte (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column, first row, and the steps to the next of each."""


def write_png(
    samples: NDArray[np.integer],
    bits: int,
    color: int,
    *,
    interlaced: bool = False,
    palette: bytes = b"",
    transparent: bytes = b"",
    before: Iterable[bytes] = (),
) -> bytes:
    """`samples` (H, W, C) of up to `bits`; `before` are chunks that stand in front of the pixels."""
    height, width, count = samples.shape
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(
        _filtered(samples[top::down, left::across], bits, count)
        for left, top, across, down in passes
        if left < width and top < height
    )
    deflated = zlib.compress(raw, 1)
    middle = len(deflated) // 2
    return b"".join(
        [
            SIGNATURE,
            chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, bits, color, 0, 0, interlaced)),
            *before,
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"tRNS", transparent) if transparent else b"",
            chunk(b"IDAT", deflated[:middle]),
            chunk(b"IDAT", deflated[middle:]),
            chunk(b"IEND"),
        ]
    )


def chunk(kind: bytes, data: bytes = b"", *, wrong: bool = False) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data) ^ wrong)


def _filtered(samples: NDArray[np.integer], bits: int, count: int) -> bytes:
    """Rows with the five filters in turn (section 9)."""
    step = max(1, bits * count // 8)
    above = np.zeros(0, int)
    out = bytearray()
    for number, row in enumerate(samples.reshape(len(samples), -1)):
        line = packed(row, bits)
        above = above if len(above) else np.zeros(len(line), int)
        left = np.concatenate([np.zeros(step, int), line])[: len(line)]
        corner = np.concatenate([np.zeros(step, int), above])[: len(line)]
        kind = number % 5
        guess = [np.zeros(len(line), int), left, above, (left + above) // 2, _paeth(left, above, corner)][kind]
        out += bytes([kind]) + ((line - guess) % 256).astype(np.uint8).tobytes()
        above = line
    return bytes(out)


def _paeth(left: NDArray[np.int_], above: NDArray[np.int_], corner: NDArray[np.int_]) -> NDArray[np.int_]:
    guess = left + above - corner
    to_left, to_above, to_corner = abs(guess - left), abs(guess - above), abs(guess - corner)
    nearest = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)


def packed(row: NDArray[np.integer], bits: int, order: str = ">") -> NDArray[np.int_]:
    """Samples as bytes, the first in the highest bits."""
    if bits >= 8:
        data = row.astype(f"{order}u{bits // 8}").tobytes()
    else:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        data = int(text, 2).to_bytes(len(text) // 8, "big")
    return np.frombuffer(data, np.uint8).astype(int)
