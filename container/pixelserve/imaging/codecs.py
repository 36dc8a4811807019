"""Bytes to pictures: JPEG, PNG, BMP, WebP and TIFF, structure and limits checked before any pixel is decoded.

`formats` has what is read of each, `benchmarks/codecs.py` how long it takes, and `encoders` the way back.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as Pillow

from pixelserve.imaging.formats import Header, Source, damaged, read_source
from pixelserve.imaging.image import Image, Pixels
from pixelserve.imaging.profiles import to_srgb
from pixelserve.imaging.sizes import check_input, check_ratio, check_scans
from pixelserve.settings import Settings, settings

Check = Callable[[int, int], None]

Pillow.MAX_IMAGE_PIXELS = None  # the limits are ours, see `check_limits`
warnings.filterwarnings("ignore", module=r"PIL\.")  # it warns of odd metadata in files that decode well
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our errors say what is damaged

_DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError,
    AttributeError, OverflowError, MemoryError, ZeroDivisionError, NotImplementedError, RuntimeError, cv2.error,
)  # fmt: skip
"""What the decoders raise for damaged files."""
_NAMES = {"jpeg": "JPEG", "png": "PNG", "bmp": "BMP", "webp": "WebP", "tiff": "TIFF"}


def read_header(data: bytes) -> Header:
    """The header, without decoding pixels. Raises UnsupportedMediaType for other kinds, InvalidImage for damage."""
    return _read(data).header


def decode(data: bytes, limits: Settings | None = None, check: Check | None = None) -> Image:
    """The picture upright (EXIF orientation applied), with its alpha, in sRGB where it has a profile.

    Grey stays grey, palettes are expanded, CMYK becomes RGB, 16-bit PNG and TIFF stay 16-bit (their profile is carried,
    not converted). Of several frames it is the first. `check` gets the upright width and height before anything is
    decoded, and may raise. Raises UnsupportedMediaType, InvalidImage, and ImageTooLarge for max_pixels_in, max_edge and
    max_decode_ratio of `limits` (default: the process's settings).
    """
    header, decode_samples = _read(data)
    check_limits(header, len(data), limits or settings())
    if check is not None:
        check(*header.upright_size)
    try:
        samples = decode_samples()
        pixels, icc = to_srgb(samples, header.space, header.profile)
    except _DAMAGE as error:
        raise damaged(_NAMES[header.format]) from error
    return Image(np.ascontiguousarray(_upright(pixels, header.orientation)), icc)


def _read(data: bytes) -> Source:
    try:
        return read_source(data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise damaged("image") from error


def check_limits(header: Header, size: int, settings: Settings) -> None:
    """Raises ImageTooLarge when the picture a header announces, in a file of `size` bytes, breaks a limit."""
    check_input(header.width, header.height, settings)
    check_ratio(header.width, header.height, header.bits, size, settings)
    check_scans(header.width, header.height, header.scans)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Applies an EXIF orientation (1 to 8, Exif 2.3 tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
