"""The size that an image file announces, read from its first bytes. Needs no libraries, so that a gateway can ask.

Where the numbers stand: W3C PNG, section 11.2.2; ITU-T T.81, B.2.2; BITMAPINFOHEADER; RFC 9649, sections 2.5 to 2.7;
TIFF 6.0, section 2; AWARE Systems' description of BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start of frame: all of SOF0 to SOF15 but DHT, JPG and DAC."""
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_MOST_PARTS = 5_000
_TIFF_WIDTH, _TIFF_LENGTH = 256, 257
_TIFF_NUMBERS = {3: "H", 4: "I", 16: "Q"}


def read_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as stored, of a JPEG, PNG, BMP, WebP or TIFF file; None where nothing is announced.

    The file is not checked: what is damaged, or no image, is the decoder's to say.
    """
    for start, read in _READERS.items():
        if data.startswith(start):
            try:
                width, height = read(data)
            except (struct.error, IndexError, ValueError, OverflowError, StopIteration):
                return None
            return (width, height) if width > 0 and height > 0 else None
    return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("!II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # BITMAPCOREHEADER
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # a negative height means that the rows begin at the top


def _jpeg(data: bytes) -> tuple[int, int]:
    height, width = next(
        struct.unpack_from("!HH", data, start + 3) for marker, start in _segments(data) if marker in _JPEG_FRAMES
    )
    return width, height


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and start of each segment before the pixels."""
    position = 2
    for _ in range(_MOST_PARTS):
        position = data.index(b"\xff", position)
        while data[position] == 0xFF:
            position += 1
        marker, position = data[position], position + 1
        if marker == 0xDA:
            return
        if marker not in _STANDALONE:
            yield marker, position
            position += struct.unpack_from("!H", data, position)[0]


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width, width_above, height, height_above = struct.unpack_from("<HBHB", data, 24)
        return 1 + width + (width_above << 16), 1 + height + (height_above << 16)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data.startswith(b"II") else ">"
    if data[2:4] in (b"+\0", b"\0+"):  # BigTIFF
        (directory,), count, entry, place = struct.unpack_from(f"{order}Q", data, 8), "Q", 20, 12
    else:
        (directory,), count, entry, place = struct.unpack_from(f"{order}I", data, 4), "H", 12, 8
    number = min(struct.unpack_from(f"{order}{count}", data, directory)[0], _MOST_PARTS)
    sizes: dict[int, int] = {}
    start = directory + struct.calcsize(count)
    for at in range(start, start + number * entry, entry):
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in (_TIFF_WIDTH, _TIFF_LENGTH):
            sizes[tag] = struct.unpack_from(f"{order}{_TIFF_NUMBERS.get(kind, 'I')}", data, at + place)[0]
    return sizes.get(_TIFF_WIDTH, 0), sizes.get(_TIFF_LENGTH, 0)


_READERS: dict[bytes, Callable[[bytes], tuple[int, int]]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
}
