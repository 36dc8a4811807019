"""Pictures to bytes: PNG, JPEG, WebP and NPY."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image as Pillow

from pixelserve.imaging.image import Image, Pixels
from pixelserve.imaging.sizes import check_format
from pixelserve.media_types import MEDIA_TYPES, format_of

try:
    from isal import isal_zlib
except ImportError:  # an optional accelerator
    isal_zlib = None  # type: ignore[assignment]

_PNG_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_STRIP_BYTES = 1 << 20


def encode(image: Image, format: str, quality: int = 90) -> list[bytes | memoryview]:
    """The picture as a file, in parts to be sent or written one after another.

    png: lossless, 8 or 16 bit, alpha, profile. jpeg: 8 bit, alpha laid on white, 4:2:0. webp: 8 bit, alpha.
    npy: the array (H, W, C) as it is, its memory not copied. A format may be given as its media type, too. `quality`
    (1 to 100) is for jpeg and webp.
    Raises OutputTooLarge for edges the format cannot hold, ValueError for another format.
    """
    format = format_of(format)
    check_format(image.width, image.height, format)
    if format == "npy":
        return [_npy_header(image.pixels), np.ascontiguousarray(image.pixels).data.cast("B")]
    if format == "png":
        return list(_png(image))
    if format == "jpeg":
        return [_jpeg(image, quality)]
    if format == "webp":
        return [_webp(image, quality)]
    raise ValueError(f"{format} is not written: {', '.join(MEDIA_TYPES)}")


def _npy_header(pixels: Pixels) -> bytes:
    """NumPy's file format version 1.0 up to the data."""
    header = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(pixels.dtype), "fortran_order": False, "shape": pixels.shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def _png(image: Image) -> Iterator[bytes]:
    """PNG (W3C, third edition) with the Up filter and fast deflate, strip by strip."""
    yield b"\x89PNG\r\n\x1a\n"
    head = struct.pack("!IIBBBBB", image.width, image.height, image.depth, _PNG_COLOR_TYPES[image.channels], 0, 0, 0)
    yield _chunk(b"IHDR", head)
    if image.icc is not None:
        yield _chunk(b"iCCP", b"icc\0\0" + zlib.compress(image.icc))
    compressor: Any = (isal_zlib or zlib).compressobj(1)
    pixels = image.pixels if image.depth == 8 else image.pixels.astype(">u2")
    rows = np.ascontiguousarray(pixels).reshape(image.height, -1).view(np.uint8)
    step = max(1, _STRIP_BYTES // rows.shape[1])
    for top in range(0, image.height, step):
        data = compressor.compress(_filter_up(rows, top, min(top + step, image.height)))
        if data:
            yield _chunk(b"IDAT", data)
    yield _chunk(b"IDAT", compressor.flush())
    yield _chunk(b"IEND", b"")


def _filter_up(rows: Pixels, top: int, bottom: int) -> bytes:
    """Rows `top` to `bottom` (height, bytes) as differences to the row above, each after its filter type 2."""
    filtered = np.empty((bottom - top, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    np.subtract(rows[top + 1 : bottom], rows[top : bottom - 1], out=filtered[1:, 1:])
    filtered[0, 1:] = rows[top] - rows[top - 1] if top else rows[top]
    return filtered.tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack("!I", len(data)), kind, data, struct.pack("!I", zlib.crc32(data, zlib.crc32(kind)))))


def _jpeg(image: Image, quality: int) -> bytes:
    pixels = flatten(to_8_bit(image.pixels))
    if image.icc is None:
        grey = pixels.shape[2] == 1
        encoded: bytes = simplejpeg.encode_jpeg(
            pixels, quality, "GRAY" if grey else "RGB", colorsubsampling="Gray" if grey else "420"
        )
        return encoded
    return _with_pillow(pixels, image.icc, format="JPEG", quality=quality, subsampling="4:2:0")


def _webp(image: Image, quality: int) -> bytes:
    return _with_pillow(to_8_bit(image.pixels), image.icc, format="WEBP", quality=quality)


def _with_pillow(pixels: Pixels, icc: bytes | None, **options: Any) -> bytes:
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    picture = Pillow.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), pixels, "raw", mode, 0, 1)
    out = io.BytesIO()
    picture.save(out, icc_profile=icc, **options)
    return out.getvalue()


def to_8_bit(pixels: Pixels) -> Pixels:
    """uint16 samples rounded to uint8 (65535 -> 255), uint8 as they are."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    return ((pixels.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def flatten(pixels: Pixels) -> Pixels:
    """uint8 (H, W, C) without alpha: colours laid on white where they are transparent."""
    if pixels.shape[2] in (1, 3):
        return pixels
    colors, alpha = pixels[..., :-1].astype(np.uint16), pixels[..., -1:].astype(np.uint16)
    return np.ascontiguousarray(((colors * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))
