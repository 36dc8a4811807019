"""The first directory of a TIFF file (TIFF 6.0, section 2) or a BigTIFF (the AWARE Systems description)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelserve.imaging.formats.header import damaged

SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_SIZES, PLANAR = 273, 274, 277, 278, 279, 284
FAX_OPTIONS, PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_SIZES = 292, 317, 320, 322, 323, 324, 325
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, PROFILE, DNG_VERSION = 332, 338, 339, 347, 34675, 50706

_TYPES = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 16: "u8"}
"""BYTE, SHORT, LONG, UNDEFINED and LONG8. No tag that is read here has another."""
_MOST_TAGS = 4_096
MOST_VALUES = 100_000
"""Of numbers in one tag: what follows is not read. Pictures have no more strips or tiles."""

Values = NDArray[np.int64]


@dataclass(frozen=True)
class Tags:
    """The values of each tag; `order` is that of bytes, < or >."""

    order: str
    values: Mapping[int, NDArray[np.unsignedinteger]]
    """As they lie in the file: a tag may claim all of it."""

    def one(self, tag: int, default: int = 0) -> int:
        """The tag's first value."""
        found = self.values.get(tag)
        return default if found is None or not len(found) else int(found[0])

    def all(self, tag: int) -> Values:
        return self.values.get(tag, np.empty(0, np.uint8))[:MOST_VALUES].astype(np.int64)

    def bytes(self, tag: int) -> bytes | None:
        return self.values[tag].astype(np.uint8).tobytes() if tag in self.values else None


def read_tags(data: bytes) -> Tags:
    """Raises InvalidImage for a directory, or values, outside the file."""
    order = "<" if data.startswith(b"II") else ">"
    try:
        if struct.unpack_from(f"{order}H", data, 2)[0] == 43:  # BigTIFF
            start, count, entry, wide = struct.unpack_from(f"{order}Q", data, 8)[0], "Q", 20, "Q"
        else:
            start, count, entry, wide = struct.unpack_from(f"{order}I", data, 4)[0], "H", 12, "I"
        number = struct.unpack_from(f"{order}{count}", data, start)[0]
        if number > _MOST_TAGS:
            raise damaged("TIFF", "has more tags than a picture has")
        start += struct.calcsize(count)
        values: dict[int, NDArray[np.unsignedinteger]] = {}
        for position in range(start, start + number * entry, entry):
            tag, kind, length = struct.unpack_from(f"{order}HH{wide}", data, position)
            if kind in _TYPES and tag not in values:
                place, stored = position + 4 + struct.calcsize(wide), np.dtype(f"{order}{_TYPES[kind]}")
                if length * stored.itemsize > struct.calcsize(wide):
                    place = struct.unpack_from(f"{order}{wide}", data, place)[0]
                values[tag] = _read(data, stored, length, place)
    except (struct.error, ValueError) as error:
        raise damaged("TIFF") from error
    return Tags(order, values)


def _read(data: bytes, kind: np.dtype[np.unsignedinteger], length: int, place: int) -> NDArray[np.unsignedinteger]:
    """Values that lie outside the file are none, since most tags do not matter."""
    if place + length * kind.itemsize > len(data):
        return np.empty(0, kind)
    return np.frombuffer(data, kind, length, place)
