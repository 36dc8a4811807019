"""PNG (W3C, third edition): its chunks are read here, its samples by libpng (OpenCV), which refuses damage.

libpng sees neither transparency nor palette: both are applied here, to the samples as stored.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import cv2
import numpy as np

from pixelserve.errors import InvalidImage
from pixelserve.imaging.formats.exif import read_orientation
from pixelserve.imaging.formats.header import MOST_PROFILE_BYTES, Header, Source, damaged, unsupported
from pixelserve.imaging.image import Pixels

START = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 50_000

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_BITS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
"""Chunks that pixels depend on. A wrong checksum is damage in these, and drops any other."""
_METADATA = (b"iCCP", b"eXIf", b"cICP")
_PRIMARIES, _CURVES = (1, 2, 5, 6), (1, 2, 6, 13)
"""Of cICP (ITU-T H.273): sRGB's, unknown ones, and those of video, whose frames are shown as if they were sRGB."""


@dataclass
class _File:
    color: int = 0
    bits: int = 0
    width: int = 0
    height: int = 0
    is_interlaced: bool = False
    palette: bytes | None = None
    transparent: bytes | None = None
    exif: bytes | None = None
    profile: bytes | None = None
    pixels: list[memoryview] = field(default_factory=list)
    """The IDAT chunks, whole."""


def read(data: bytes) -> Source:
    """Raises UnsupportedMediaType naming the kind, InvalidImage for damage."""
    if not data.startswith(START):
        raise damaged("PNG", "was changed on its way, as text is")
    file = _read_chunks(data)
    if not file.pixels or (file.color == _PALETTE and not file.palette):
        raise damaged("PNG")
    channels = 3 if file.color == _PALETTE else _SAMPLES[file.color]
    if file.transparent is not None and file.color in (_GREY, _RGB, _PALETTE):
        channels += 1
    header = Header(
        "png", file.width, file.height, channels, file.bits * _SAMPLES[file.color], depth=16 if file.bits == 16 else 8,
        space="RGB" if channels > 2 else "GRAY", orientation=read_orientation(file.exif), profile=file.profile,
    )  # fmt: skip
    return Source(header, lambda: _decode(file))


def _read_chunks(data: bytes) -> _File:
    file = _File()
    view, start = memoryview(data), len(START)
    for _ in range(MOST_CHUNKS):
        if start + 12 > len(data):
            raise damaged("PNG", "is cut off")
        length, kind = struct.unpack_from("!I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise damaged("PNG", "is cut off")
        if kind in _NEEDED or kind in _METADATA:
            if zlib.crc32(view[start + 4 : end - 4]) == struct.unpack_from("!I", data, end - 4)[0]:
                _note(file, kind, view[start:end])
            elif kind in _NEEDED:
                raise damaged("PNG", f"is damaged: its {kind.decode()} chunk has a wrong checksum")
        elif kind == b"CgBI":
            raise unsupported("PNG of Apple's own kind (CgBI)")
        elif not kind[0] & 0x20:
            raise damaged("PNG", "has a chunk that no decoder knows")
        if kind == b"IEND":
            return file
        start = end
    raise InvalidImage(f"The PNG file has more than {MOST_CHUNKS:,} chunks. Save it again.")


def _note(file: _File, kind: bytes, chunk: memoryview) -> None:
    content = chunk[8:-4]
    if not file.width and kind != b"IHDR":
        raise damaged("PNG")
    if kind == b"IHDR":
        if file.width or len(content) != 13:
            raise damaged("PNG")
        file.width, file.height, file.bits, file.color, *methods = struct.unpack("!IIBBBBB", content)
        file.is_interlaced = methods[2] == 1
        if (
            file.bits not in _BITS.get(file.color, ())
            or not file.width
            or not file.height
            or max(methods) > 1
            or any(methods[:2])
        ):
            raise damaged("PNG")
    elif kind == b"PLTE":
        if file.palette is not None or len(content) % 3 or not content:
            raise damaged("PNG")
        file.palette = bytes(content)
    elif kind == b"tRNS":
        file.transparent = bytes(content)
    elif kind == b"IDAT":
        file.pixels.append(chunk)
    elif kind == b"cICP":
        _check_colors(bytes(content))
    elif kind == b"eXIf":
        file.exif = bytes(content)
    elif kind == b"iCCP":
        file.profile = _inflate_profile(bytes(content))


def _check_colors(content: bytes) -> None:
    """Raises UnsupportedMediaType for colours, such as those of HDR, that are far from sRGB."""
    if len(content) == 4 and (content[0] not in _PRIMARIES or content[1] not in _CURVES):
        raise unsupported(f"PNG in other colours than sRGB (cICP {content[0]}, {content[1]})")


def _inflate_profile(content: bytes) -> bytes:
    """The profile behind its name and method; as it is where it cannot be inflated, which is no profile then."""
    try:
        return zlib.decompressobj().decompress(content[content.index(b"\0") + 2 :], MOST_PROFILE_BYTES + 1)
    except (ValueError, zlib.error):
        return content


def _decode(file: _File) -> Pixels:
    samples = _decode_samples(file)
    if file.color == _PALETTE:
        return _look_up(file, samples[..., 0] // _step(file.bits))
    if file.transparent is not None and file.color in (_GREY, _RGB):
        return _with_alpha(file, samples)
    return samples


def _decode_samples(file: _File) -> Pixels:
    """Samples of less than 8 bits are brought to 255; indices too, which libpng gets as grey."""
    color = _GREY if file.color == _PALETTE else file.color
    head = struct.pack("!IIBBBBB", file.width, file.height, file.bits, color, 0, 0, file.is_interlaced)
    whole = b"".join([START, _chunk(b"IHDR", head), *file.pixels, _chunk(b"IEND", b"")])
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB if color == _RGB else cv2.IMREAD_UNCHANGED
    samples = cv2.imdecode(np.frombuffer(whole, np.uint8), flags)
    if samples is None or samples.dtype != (np.uint16 if file.bits == 16 else np.uint8):
        raise ValueError("not decodable")
    if color == _RGBA:
        return cv2.cvtColor(samples, cv2.COLOR_BGRA2RGBA)
    if color == _GREY_ALPHA:
        return samples[..., [0, 3]]  # OpenCV spreads the grey over three channels
    return np.atleast_3d(samples)


def _step(bits: int) -> int:
    """What lies between two samples of so many bits when the largest is 255."""
    return 255 // ((1 << bits) - 1) if bits < 8 else 1


def _look_up(file: _File, indices: Pixels) -> Pixels:
    assert file.palette is not None
    colors = np.frombuffer(file.palette, np.uint8).reshape(-1, 3)
    if indices.max() >= len(colors):
        raise ValueError("an index beyond the palette")
    if file.transparent is not None:
        alpha = np.full((len(colors), 1), 255, np.uint8)
        given = np.frombuffer(file.transparent[: len(colors)], np.uint8)
        alpha[: len(given), 0] = given
        colors = np.concatenate([colors, alpha], axis=1)
    return colors[indices]


def _with_alpha(file: _File, samples: Pixels) -> Pixels:
    """The samples and an alpha that hides the one colour that tRNS names."""
    assert file.transparent is not None
    count = _SAMPLES[file.color]
    hidden = np.array(struct.unpack_from(f"!{count}H", file.transparent)) & ((1 << file.bits) - 1)
    hidden = hidden * _step(file.bits)
    none, most = samples.dtype.type(0), samples.dtype.type(np.iinfo(samples.dtype).max)
    alpha = np.where((samples == hidden.astype(samples.dtype)).all(axis=2, keepdims=True), none, most)
    return np.concatenate([samples, alpha], axis=2)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))
