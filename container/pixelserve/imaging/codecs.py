"""Bytes to pictures: JPEG, PNG, BMP, WebP and TIFF, header and limits checked before any pixel is decoded.

JPEG goes through libjpeg-turbo (simplejpeg), 16-bit PNG and TIFF through OpenCV, all else and every fall-back through
Pillow; `benchmarks/codecs.py` measures them side by side. `encoders` has the way back.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, UnidentifiedImageError

from pixelserve.errors import InvalidImage, UnsupportedMediaType
from pixelserve.imaging.image import Image, Pixels
from pixelserve.imaging.sizes import check_input, check_ratio
from pixelserve.imaging.structure import check_structure
from pixelserve.settings import Settings, settings

try:
    import simplejpeg
except ImportError:  # an optional accelerator: Pillow reads JPEG too
    simplejpeg = None

_PILLOW_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
READABLE = "JPEG, PNG, BMP, WebP or TIFF"

Pillow.MAX_IMAGE_PIXELS = None  # the limits are ours, see `check_limits`
warnings.filterwarnings("ignore", module=r"PIL\.")  # it warns of odd metadata in files that decode well
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our errors say what is damaged

_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323
_LARGEST_TIFF_TILE = 1024
_BMP_RUN_LENGTHS = (1, 2)
_PNG_GREY_ALPHA = 4
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, IndexError, KeyError, TypeError, AttributeError,
           OverflowError, MemoryError, ZeroDivisionError, NotImplementedError, RuntimeError, cv2.error)  # fmt: skip
"""What the decoders raise for damaged files."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself: format in lower case, edges in pixels as stored, bits of a sample (`depth`)."""

    format: str
    width: int
    height: int
    mode: str
    depth: int
    orientation: int


def read_header(data: bytes) -> Header:
    """The header, without decoding pixels. Raises UnsupportedMediaType for other formats, InvalidImage for damage."""
    data = check_structure(data)
    return _header(_open(data), data)


def decode(data: bytes, limits: Settings | None = None) -> Image:
    """The picture upright (EXIF orientation applied), with its alpha, in sRGB where its profile can be converted.

    Grey stays grey, palettes are expanded, CMYK becomes RGB, 16-bit PNG and TIFF stay 16-bit (their profile is carried,
    not converted). Of several frames it is the first. Raises UnsupportedMediaType, InvalidImage, and ImageTooLarge for
    max_pixels_in, max_edge and max_decode_ratio of `limits` (default: the process's settings).
    """
    data = check_structure(data)
    file = _open(data)
    header = _header(file, data)
    check_limits(header, len(data), limits or settings())
    _check_samples(header)
    try:
        pixels, icc = _decode_pixels(file, header, data)
    except _DAMAGE as error:
        raise InvalidImage(f"The {header.format} file is damaged or cut off. Send the whole file.") from error
    return Image(np.ascontiguousarray(pixels), icc)


def check_limits(header: Header, size: int, settings: Settings) -> None:
    """Raises ImageTooLarge when the picture a header announces, in a file of `size` bytes, breaks a limit."""
    check_input(header.width, header.height, settings)
    bits = Pillow.getmodebands(header.mode) * header.depth
    check_ratio(header.width, header.height, bits, size, settings)


def _open(data: bytes) -> Pillow.Image:
    try:
        return Pillow.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except UnidentifiedImageError:
        if _looks_known(data):
            raise InvalidImage("The image file is damaged or cut off. Send the whole file.") from None
        raise UnsupportedMediaType(f"This is not an image that can be read here. Send {READABLE}.") from None
    except _DAMAGE as error:
        raise InvalidImage("The image file is damaged or cut off. Send the whole file.") from error


def _looks_known(data: bytes) -> bool:
    starts = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")
    return data.startswith(starts) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def _header(file: Pillow.Image, data: bytes) -> Header:
    format_name = "jpeg" if file.format == "MPO" else str(file.format).lower()
    try:
        orientation = int(file.getexif().get(_ORIENTATION, 1)) if _has_exif(file) else 1
        depth = _depth(file, format_name, data)
        tiles = _tile_edges(file)
    except _DAMAGE as error:
        raise InvalidImage(f"The header of the {format_name} file is damaged. Save it again.") from error
    if format_name == "bmp" and file.info.get("compression") in _BMP_RUN_LENGTHS:
        raise UnsupportedMediaType("BMP files compressed by run lengths are not read. Save it uncompressed, or as PNG.")
    if max(tiles) > max(file.size) + _LARGEST_TIFF_TILE:
        raise InvalidImage(f"The TIFF file has tiles of {tiles[0]} x {tiles[1]} pixels, larger than its picture.")
    return Header(format_name, *file.size, file.mode, depth, orientation if 1 <= orientation <= 8 else 1)


def _tile_edges(file: Pillow.Image) -> tuple[int, int]:
    """Width and height of a TIFF's tiles, 0 where it has none. The decoder takes memory for a whole tile."""
    tags = getattr(file, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_LENGTH, 0))


def _has_exif(file: Pillow.Image) -> bool:
    """Pillow would decode a whole PNG in search of EXIF behind the pixels."""
    return file.format != "PNG" or "exif" in file.info


def _depth(file: Pillow.Image, format_name: str, data: bytes) -> int:
    if format_name == "png":
        return 16 if data[24] == 16 else 8
    if format_name == "tiff":
        bits = file.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return 16 if max(bits if isinstance(bits, tuple) else (bits,)) > 8 else 8
    return 8


def _check_samples(header: Header) -> None:
    """Raises UnsupportedMediaType for kinds of samples that are not read: 32-bit, and 16-bit other than grey or RGB."""
    if header.mode in ("I", "F") or (header.depth == 16 and not header.mode.startswith(("I;16", "L", "RGB"))):
        raise UnsupportedMediaType(
            f"{header.format.upper()} with {header.mode} samples is not read. Save it as 8- or 16-bit grey or RGB."
        )


def _decode_pixels(file: Pillow.Image, header: Header, data: bytes) -> tuple[Pixels, bytes | None]:
    """The pixels upright (both Pillow and OpenCV turn TIFF by themselves), and the profile still to be carried."""
    profile: bytes | None = file.info.get("icc_profile") or None
    if header.depth == 16:
        pixels = _decode_16_bit(header, data)
        return (pixels if header.format == "tiff" else _upright(pixels, header.orientation)), profile
    if header.format == "jpeg" and header.mode in ("L", "RGB") and not profile and simplejpeg is not None:
        try:
            pixels = simplejpeg.decode_jpeg(data, "GRAY" if header.mode == "L" else "RGB")
            return _upright(pixels, header.orientation), None
        except ValueError:
            pass  # what is exotic Pillow may still read; what is damaged it refuses
    file.load()
    picture, profile = _to_srgb(_plain_mode(file), profile)
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return (pixels if header.format == "tiff" else _upright(pixels, header.orientation)), profile


def _decode_16_bit(header: Header, data: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("not decodable as 16 bit")
    if pixels.ndim == 2:
        return pixels[..., None]
    if header.format == "png" and data[25] == _PNG_GREY_ALPHA:  # OpenCV spreads the grey over three channels
        return pixels[..., [0, 3]]
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _plain_mode(file: Pillow.Image) -> Pillow.Image:
    """L, LA, RGB, RGBA or CMYK, whatever the file had."""
    if file.mode in ("L", "LA", "RGB", "RGBA", "CMYK") and "transparency" not in file.info:
        return file
    if file.mode == "1":
        return file.convert("L")
    if file.mode == "L":
        return file.convert("LA")
    has_alpha = "transparency" in file.info or file.mode in ("PA", "RGBa", "La")
    return file.convert("RGBA" if has_alpha else "RGB")


def _to_srgb(picture: Pillow.Image, profile: bytes | None) -> tuple[Pillow.Image, bytes | None]:
    """The picture in sRGB and None, or as it is with the profile when that cannot be used."""
    if profile is not None and not _is_srgb(profile):
        converted = _convert(picture, profile)
        if converted is not None:
            return converted, None
        if picture.mode != "CMYK":
            return picture, profile
    return (picture.convert("RGB") if picture.mode == "CMYK" else picture), None


def _is_srgb(profile: bytes) -> bool:
    try:
        return "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    except (ImageCms.PyCMSError, OSError):
        return False


def _convert(picture: Pillow.Image, profile: bytes) -> Pillow.Image | None:
    """The picture's colours from `profile` to sRGB, its alpha kept; None when the profile does not fit it."""
    colors = {"RGBA": "RGB", "LA": "L"}.get(picture.mode, picture.mode)
    target: Any = ImageCms.createProfile("sRGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        result = ImageCms.profileToProfile(picture.convert(colors), source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if result is None:
        return None
    if colors == "L":
        result = result.getchannel("G")
    if colors != picture.mode:
        result.putalpha(picture.getchannel("A"))
    return result


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Applies an EXIF orientation (1 to 8, Exif 2.3 tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
