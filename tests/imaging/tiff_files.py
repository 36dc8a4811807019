"""TIFF files written byte by byte (TIFF 6.0; BigTIFF; ITU-T T.4 and T.6 for fax)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from png_files import packed

PLAIN, FAX_1D, FAX_3, FAX_4, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACK_BITS = 1, 2, 3, 4, 5, 7, 8, 32946, 32773
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCC, LAB = 0, 1, 2, 3, 5, 6, 8
_LONG, _SHORT, _UNDEFINED, _LONG8 = 4, 3, 7, 16
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_WHITE = {0: "00110101", 8: "10011", 16: "101010", 24: "0101000", 32: "00011011"}
_BLACK = {0: "0000110111", 8: "000101", 16: "0000010111", 24: "00000010111", 32: "000001101010"}
_END_OF_LINE = "000000000001"
"""T.4's codes, of the runs that pictures of cells of eight pixels need."""

Samples = NDArray[np.integer]


def write_tiff(
    samples: Samples,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    big: bool = False,
    compression: int = PLAIN,
    tile: tuple[int, int] | None = None,
    rows: int = 0,
    is_planar: bool = False,
    differences: bool = False,
    reversed_bits: bool = False,
    encode: Callable[[Samples], bytes] | None = None,
    tags: Mapping[int, tuple[int, ...]] | None = None,
    undefined: Mapping[int, bytes] | None = None,
) -> bytes:
    """`samples` (H, W, C). `rows` are those of a strip, `tile` is (width, height); `encode` writes parts of its own."""
    height, width, count = samples.shape
    rows = rows or height
    planes = [samples[..., i : i + 1] for i in range(count)] if is_planar else [samples]
    parts = []
    for plane in planes:
        for part in _tiles(plane, *tile) if tile else [plane[top : top + rows] for top in range(0, height, rows)]:
            parts.append(encode(part) if encode else _encoded(part, bits, order, compression, differences))
    if reversed_bits:
        parts = [part.translate(_REVERSED) for part in parts]
    values: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (bits,) * count, 259: (compression,), 262: (photometric,), 277: (count,),
        284: (2 if is_planar else 1,),
    }  # fmt: skip
    if differences:
        values[317] = (2,)
    if reversed_bits:
        values[266] = (2,)
    if tile:
        values |= {322: (tile[0],), 323: (tile[1],)}
    else:
        values[278] = (rows,)
    return _file(values | dict(tags or {}), parts, order, big, bool(tile), undefined or {})


def _file(
    values: dict[int, tuple[int, ...]], parts: list[bytes], order: str, big: bool, tiled: bool,
    undefined: Mapping[int, bytes],
) -> bytes:  # fmt: skip
    start = 16 if big else 8
    offsets = tuple(int(n) for n in start + np.cumsum([0, *(len(part) for part in parts)]))
    values |= {324 if tiled else 273: offsets[:-1], 325 if tiled else 279: tuple(map(len, parts))}
    body = bytearray(b"".join(parts))
    body += bytes(len(body) % 2)
    entries = b""
    word = "Q" if big else "I"
    for tag in sorted({*values, *undefined}):
        if tag in undefined:
            kind, count, data = _UNDEFINED, len(undefined[tag]), undefined[tag]
        else:
            kind = _SHORT if tag in (258, 259, 262, 274, 277, 284, 317, 320, 338, 339) else _LONG8 if big else _LONG
            letter = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}[kind]
            count = len(values[tag])
            data = struct.pack(f"{order}{count}{letter}", *values[tag])
        if len(data) > struct.calcsize(word):
            place = struct.pack(f"{order}{word}", start + len(body))
            body += data + bytes(len(data) % 2)
        else:
            place = data.ljust(struct.calcsize(word), b"\0")
        entries += struct.pack(f"{order}HH{word}", tag, kind, count) + place
    mark = b"II" if order == "<" else b"MM"
    number = len({*values, *undefined})
    if big:
        head = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, start + len(body))
        return head + bytes(body) + struct.pack(f"{order}Q", number) + entries + bytes(8)
    head = mark + struct.pack(f"{order}HI", 42, start + len(body))
    return head + bytes(body) + struct.pack(f"{order}H", number) + entries + bytes(4)


def _tiles(plane: Samples, width: int, height: int) -> list[Samples]:
    down, across = -plane.shape[0] % height, -plane.shape[1] % width
    padded = np.pad(plane, ((0, down), (0, across), (0, 0)), mode="edge")
    return [
        padded[top : top + height, left : left + width]
        for top in range(0, padded.shape[0], height)
        for left in range(0, padded.shape[1], width)
    ]


def _encoded(part: Samples, bits: int, order: str, compression: int, differences: bool) -> bytes:
    if compression in (FAX_1D, FAX_3, FAX_4):
        return fax(part[..., 0], compression)
    if differences:
        before = np.concatenate([np.zeros_like(part[:, :1]), part[:, :-1]], axis=1)
        part = (part.astype(int) - before) % (1 << bits)
    raw = b"".join(packed(row.reshape(-1), bits, order).astype(np.uint8).tobytes() for row in part)
    if compression in (DEFLATE, OLD_DEFLATE):
        return zlib.compress(raw)
    if compression == PACK_BITS:
        return b"".join(bytes([len(raw[i : i + 100]) - 1]) + raw[i : i + 100] for i in range(0, len(raw), 100))
    if compression == LZW:
        return _lzw(raw)
    return raw


def _lzw(raw: bytes) -> bytes:
    """Codes of 9 bits: the table is cleared before they would grow."""
    clear, end = "100000000", "100000001"
    codes = []
    for i in range(0, len(raw), 200):
        codes += [clear, *(format(value, "09b") for value in raw[i : i + 200])]
    text = "".join([*(codes or [clear]), end])
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def fax(rows: Samples, compression: int) -> bytes:
    """Rows of cells of eight pixels, up to 32, 1 for black, in horizontal mode."""
    line = ""
    for row in rows:
        runs, color = [0], 0
        for value in row:
            if value != color:
                runs.append(0)
                color = value
            runs[-1] += 1
        if compression == FAX_4:
            runs += [0] * (len(runs) % 2)
        codes = [(_BLACK if i % 2 else _WHITE)[run] for i, run in enumerate(runs)]
        if compression == FAX_4:
            line += "".join("001" + white + black for white, black in zip(codes[::2], codes[1::2], strict=True))
        elif compression == FAX_3:
            line += _END_OF_LINE + "".join(codes)
        else:
            line += "".join(codes)
            line += "0" * (-len(line) % 8)
    if compression == FAX_4:
        line += 2 * _END_OF_LINE
    line += "0" * (-len(line) % 8)
    return int(line, 2).to_bytes(len(line) // 8, "big")
