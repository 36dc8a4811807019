"""BMP files written byte by byte (Microsoft's documents of the headers; OS/2's of its own)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from png_files import packed

CORE, INFO, V2, V3, V4, V5, OS2 = 12, 40, 52, 56, 108, 124, 64
PLAIN, RUNS_8, RUNS_4, MASKS, JPEG, PNG, ALPHA_MASKS = range(7)
HUFFMAN, RUNS_24 = 3, 4
"""Under OS/2's header."""


def write_bmp(
    pixels: bytes,
    width: int,
    height: int,
    bits: int,
    *,
    header: int = INFO,
    compression: int = PLAIN,
    palette: NDArray[np.uint8] | None = None,
    masks: Iterable[int] = (),
    from_top: bool = False,
    gap: int = 0,
    profile: bytes = b"",
) -> bytes:
    """`palette` is (N, 3) RGB; `gap` bytes of nothing stand before the pixels."""
    entries = (
        b"" if palette is None else b"".join(bytes([b, g, r, 0][: 3 if header == CORE else 4]) for r, g, b in palette)
    )
    if header == CORE:
        head = struct.pack("<IHHHH", CORE, width, height, 1, bits)
    else:
        used = 0 if palette is None else len(palette)
        high = -height if from_top else height
        head = struct.pack("<IiiHHIIiiII", header, width, high, 1, bits, compression, len(pixels), 2835, 2835, used, 0)
    given = b"".join(struct.pack("<I", mask) for mask in masks)
    if header > INFO:
        head += given[: header - INFO] if header in (V2, V3, V4, V5) else b""
        head = head.ljust(header, b"\0")
        if profile:
            end = header + len(entries) + gap + len(pixels)
            head = head[:56] + b"DEBM" + head[60:112] + struct.pack("<II", end, len(profile)) + head[120:]
    else:
        head += given
    offset = 14 + len(head) + len(entries) + gap
    size = offset + len(pixels) + len(profile)
    return struct.pack("<2sIHHI", b"BM", size, 0, 0, offset) + head + entries + bytes(gap) + pixels + profile


def rows_of(values: NDArray[np.integer], bits: int, *, from_top: bool = False) -> bytes:
    """(H, W) pixel values of `bits`, or (H, W, 3) RGB of 24, as rows of whole words."""
    out = bytearray()
    for row in values if from_top else values[::-1]:
        if bits == 24:
            line = row[:, ::-1].astype(np.uint8).tobytes()
        else:
            line = packed(row, bits, "<").astype(np.uint8).tobytes()
        out += line + bytes(-len(line) % 4)
    return bytes(out)


def runs_of_24(pixels: NDArray[np.uint8]) -> bytes:
    """OS/2's: a run for each pixel at even places, literal runs of three for the rest of a row."""
    out = bytearray()
    for number, row in enumerate(pixels[::-1, :, ::-1]):
        column = 0
        while column < len(row):
            left = row[column : column + 3]
            if (column + number) % 2 or len(left) < 3:
                out += bytes([1]) + row[column].tobytes()
                column += 1
            else:
                out += bytes([0, 3]) + left.tobytes() + b"\0"
                column += 3
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def runs_of(indices: NDArray[np.integer], bits: int) -> tuple[bytes, NDArray[np.integer]]:
    """Runs, literal runs, a skip and ends of lines; and the indices that they stand for, 0 where the skip is."""
    out, shown = bytearray(), indices.copy()
    for number in range(len(indices) - 1, -1, -1):
        row, column = shown[number], 0
        if number == 0 and len(row) > 4:
            out += bytes([0, 2, 2, 0])  # two columns on, no row up
            row[:2], column = 0, 2
        while column < len(row):
            length = min(5 + number % 3, len(row) - column)
            if length >= 3 and (column + number) % 2:
                literal = packed(row[column : column + length], bits).astype(np.uint8).tobytes()
                out += bytes([0, length]) + literal + bytes(len(literal) % 2)
            else:
                length = min(length, 2)
                first, second = int(row[column]), int(row[column + length - 1])
                if bits == 8 and first != second:
                    length = 1
                out += bytes([length, first if bits == 8 else first << 4 | second])
            column += length
        out += b"\0\0" if number else b"\0\1"
    return bytes(out), shown
