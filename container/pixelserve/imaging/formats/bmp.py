"""BMP (Microsoft's BITMAPCOREHEADER to BITMAPV5HEADER, OS/2 1 and 2), decoded here: no library reads all its kinds.

Jason Summers's bmpsuite describes what writers made of the format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from pixelserve.imaging.formats import fax, jpeg, png
from pixelserve.imaging.formats.bits import unpack
from pixelserve.imaging.formats.header import Header, Source, damaged, unsupported
from pixelserve.imaging.image import Pixels

_FILE_HEADER, _CORE, _INFO = 14, 12, 40
_WITH_MASKS, _WITH_ALPHA_MASK = 52, 56
_MICROSOFT = (_INFO, _WITH_MASKS, _WITH_ALPHA_MASK, 108, 124)
"""Sizes of Microsoft's headers. Others are OS/2's, some of whose compressions have the same numbers."""
_PLAIN, _RUNS_8, _RUNS_4, _MASKS, _JPEG, _PNG, _ALPHA_MASKS = range(7)
_HUFFMAN, _RUNS_24 = 103, 104
_OF_OS2 = {3: _HUFFMAN, 4: _RUNS_24}
_NAMES = dict.fromkeys((11, 12, 13), "CMYK BMP")
_END_OF_ROW, _END, _SKIP = 0, 1, 2
_NIBBLES = [bytes([value >> 4, value & 15]) for value in range(256)]
_MOST_RUN_BYTES = 5_000_000
"""Some two seconds of a core."""
_BITS = (1, 2, 4, 8, 16, 24, 32)
_FITTING = {
    _PLAIN: _BITS, _RUNS_8: (8,), _RUNS_4: (4,), _RUNS_24: (24,), _MASKS: (16, 32), _ALPHA_MASKS: (16, 32),
    _JPEG: (0, *_BITS), _PNG: (0, *_BITS), _HUFFMAN: (1,),
}  # fmt: skip
"""Bits of a pixel for each compression."""
_DEFAULT_MASKS = {16: (0x7C00, 0x03E0, 0x001F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_EMBEDDED = b"DEBM"
"""PROFILE_EMBEDDED of bV5CSType, as it lies in the file."""
_HELD = {_JPEG: jpeg.read, _PNG: png.read}
"""Formats of whole files in the place of pixels."""


@dataclass(frozen=True)
class _File:
    width: int
    height: int
    from_top: bool
    bits: int
    compression: int
    colors: Pixels
    """The palette, (N, 3) uint8 RGB; empty where there is none."""
    masks: tuple[int, int, int, int]
    pixels: memoryview
    """What follows the headers."""

    @property
    def stride(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def is_grey(self) -> bool:
        return len(self.colors) > 0 and bool((self.colors == self.colors[:, :1]).all())

    @property
    def channels(self) -> int:
        return 1 if self.is_grey else 4 if self.masks[3] else 3


def read(data: bytes) -> Source:
    """Raises UnsupportedMediaType naming the kind, InvalidImage for damage."""
    if len(data) < _FILE_HEADER + _CORE:
        raise damaged("BMP")
    file = _read_headers(data)
    if file.compression in _HELD:
        return _HELD[file.compression](bytes(file.pixels))
    channels = file.channels
    header = Header(
        "bmp", file.width, file.height, channels, file.bits, space="GRAY" if channels == 1 else "RGB",
        profile=_read_profile(data),
    )  # fmt: skip
    if file.compression in (_RUNS_8, _RUNS_4, _RUNS_24):
        if len(file.pixels) > _MOST_RUN_BYTES:
            raise unsupported(f"BMP with more than {_MOST_RUN_BYTES:,} bytes of run lengths")
        return Source(header, lambda: _decode_runs(file))
    if file.compression == _HUFFMAN:
        if len(file.pixels) > fax.MOST_BYTES:
            raise unsupported(f"BMP with more than {fax.MOST_BYTES:,} bytes of Huffman coding")
        return Source(header, lambda: _decode_huffman(file))
    if len(file.pixels) < file.stride * (file.height - 1) + (file.width * file.bits + 7) // 8:
        raise damaged("BMP", "is cut off")
    return Source(header, lambda: _decode_rows(file))


def _read_headers(data: bytes) -> _File:
    offset, size = struct.unpack_from("<II", data, 10)
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = used = 0
    elif 16 <= size <= 124:
        head = data[_FILE_HEADER : _FILE_HEADER + min(size, _INFO)].ljust(_INFO, b"\0")
        _, width, height, _, bits, compression, _, _, _, used, _ = struct.unpack("<IiiHHIIiiII", head)
    else:
        raise damaged("BMP")
    if size not in _MICROSOFT:
        compression = _OF_OS2.get(compression, compression)
    _check_kind(bits, compression)
    if width <= 0 or not height or _FILE_HEADER + size > len(data):
        raise damaged("BMP")
    behind = _FILE_HEADER + size
    masks = _DEFAULT_MASKS.get(bits, (0, 0, 0, 0))
    if compression in (_MASKS, _ALPHA_MASKS):
        count = 4 if compression == _ALPHA_MASKS or size >= _WITH_ALPHA_MASK else 3
        masks = (*struct.unpack_from(f"<{count}I", data, _FILE_HEADER + _INFO), 0)[:4]
        behind = max(behind, _FILE_HEADER + _INFO + 4 * count)
    entry, count = 3 if size == _CORE else 4, 0
    if 0 < bits <= 8:
        count = min(used or 1 << bits, 1 << bits)
    if not offset:  # some writers leave it out
        offset = behind + count * entry
    if offset < behind:
        raise damaged("BMP", "says that its pixels lie in its headers")
    colors = _read_palette(data, behind, offset, count, entry)
    return _File(width, abs(height), height < 0, bits, compression, colors, masks, memoryview(data)[offset:])


def _check_kind(bits: int, compression: int) -> None:
    if compression in _NAMES:
        raise unsupported(_NAMES[compression])
    if bits == 64:
        raise unsupported("BMP of 64 bits a pixel")
    if compression not in _FITTING or bits not in _FITTING[compression]:
        raise damaged("BMP")


def _read_palette(data: bytes, start: int, offset: int, count: int, entry: int) -> Pixels:
    """Up to `count` colours of `entry` bytes, as many as lie before the pixels."""
    count = min(count, max(0, min(offset, len(data)) - start) // entry)
    stored = np.frombuffer(data, np.uint8, count * entry, start)
    return stored.reshape(-1, entry)[:, 2::-1]


def _read_profile(data: bytes) -> bytes | None:
    """The profile that a BITMAPV5HEADER embeds."""
    size = struct.unpack_from("<I", data, _FILE_HEADER)[0]
    if size != 124 or data[_FILE_HEADER + 56 : _FILE_HEADER + 60] != _EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data, _FILE_HEADER + 112)
    return data[_FILE_HEADER + start : _FILE_HEADER + start + length]


def _decode_rows(file: _File) -> Pixels:
    stored = np.zeros(file.stride * file.height, np.uint8)  # the padding of the last row may be missing
    given = np.frombuffer(file.pixels[: len(stored)], np.uint8)
    stored[: len(given)] = given
    rows = _from_top(file, stored.reshape(file.height, file.stride))
    if file.bits == 24:
        return rows[:, : 3 * file.width].reshape(file.height, file.width, 3)[..., ::-1]
    if file.bits > 8:
        values = rows.view(f"<u{file.bits // 8}")[:, : file.width]
        masks = file.masks if file.masks[3] else file.masks[:3]
        return np.stack([_masked(values, mask) for mask in masks], axis=2)
    return _look_up(file, unpack(rows, file.bits)[:, : file.width])


def _from_top(file: _File, rows: Pixels) -> Pixels:
    return rows if file.from_top else rows[::-1]


def _decode_huffman(file: _File) -> Pixels:
    """Fax coding line by line."""
    return _look_up(file, _from_top(file, fax.decode(file.pixels, fax.T4, 0, file.width, file.height)))


def _look_up(file: _File, indices: Pixels) -> Pixels:
    if indices.max() >= len(file.colors):
        raise ValueError("an index beyond the palette")
    return file.colors[:, : file.channels][indices]


def _masked(values: Pixels, mask: int) -> Pixels:
    """The bits of `mask` as uint8, the largest value they hold as 255."""
    if not mask:
        return np.zeros(values.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    most = mask >> lowest
    if most & (most + 1):
        raise ValueError("a mask with a gap")
    samples = (values & mask) >> lowest
    if most == 255:
        return samples.astype(np.uint8)
    return ((samples.astype(np.uint64) * 255 + most // 2) // most).astype(np.uint8)


def _decode_runs(file: _File) -> Pixels:
    """What no run covers gets the first colour."""
    data, width, height = file.pixels, file.width, file.height
    size, together = max(1, file.bits // 8), max(1, 8 // file.bits)
    stored = bytearray(width * height * size)
    at = x = y = 0
    while at + 1 < len(data):
        count, code = data[at], data[at + 1]
        at += 2
        if count:
            at += size - 1
            run = _spread(data[at - size : at], file.bits) * -(-count // together)
        elif code == _END_OF_ROW:
            x, y = 0, y + 1
            if y > height:
                break
            continue
        elif code == _END:
            break
        elif code == _SKIP:
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        else:
            count, length = code, (code * file.bits + 7) // 8
            run = _spread(data[at : at + length], file.bits)
            at += length + length % 2
        if x + count > width or y >= height or len(run) < count * size:
            raise ValueError("run lengths that do not fit")
        place = (y * width + x) * size
        stored[place : place + count * size] = run[: count * size]
        x += count
    else:
        if (y, x) < (height - 1, width):
            raise ValueError("run lengths that end early")
    rows = _from_top(file, np.frombuffer(stored, np.uint8).reshape(height, width, size))
    return rows[..., ::-1] if size == 3 else _look_up(file, rows[..., 0])


def _spread(stored: memoryview, bits: int) -> bytes:
    """Whole bytes as they are, halves as bytes."""
    return b"".join([_NIBBLES[byte] for byte in stored]) if bits == 4 else bytes(stored)
