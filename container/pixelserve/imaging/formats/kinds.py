"""Which format some bytes are: those that are read, and those that people send and that are not."""

from __future__ import annotations

import re
from collections.abc import Callable

from pixelserve.errors import InvalidImage, UnsupportedMediaType
from pixelserve.imaging.formats import bmp, jpeg, png, tiff, webp
from pixelserve.imaging.formats.header import READABLE, Source
from pixelserve.media_types import content_type_of

_READERS: dict[str, Callable[[bytes], Source]] = {
    "image/jpeg": jpeg.read,
    "image/png": png.read,
    "image/bmp": bmp.read,
    "image/webp": webp.read,
    "image/tiff": tiff.read,
}
_NAMES = {
    "image/gif": "GIF",
    "image/heic": "HEIC",
    "image/avif": "AVIF",
    "image/jxl": "JPEG XL",
    "image/jp2": "JPEG 2000",
    "image/svg+xml": "SVG",
    "image/vnd.adobe.photoshop": "PSD",
    "image/x-exr": "OpenEXR",
    "image/vnd.radiance": "Radiance HDR",
    "image/qoi": "QOI",
    "video/mp4": "a video",
    "image/vnd.microsoft.icon": "ICO",
    "image/jxr": "JPEG XR",
    "image/x-portable-anymap": "PNM",
    "image/x-canon-cr3": "a camera's raw file",
    "image/x-raw": "a camera's raw file",
    "image/wmf": "a Windows metafile",
    "image/vnd.zbrush.pcx": "PCX",
    "video/webm": "a video",
    "application/postscript": "PostScript",
    "application/dicom": "DICOM",
    "application/pdf": "PDF",
    "application/xml": "XML",
    "application/zip": "a ZIP archive",
    "application/gzip": "gzip",
    "application/json": "JSON",
    "application/x-npy": "NPY",
}
_WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*+(<\?xml(?:(?!\?>).)*+\?>\s*+)?+(<!--(?:(?!-->).)*+-->\s*+)*+<(!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
"""Nothing in it is tried twice, or comments in a row would take a time that doubles with each."""
_LFS_POINTER = b"version https://git-lfs"
_BASE64 = (b"data:", b"/9j/", b"iVBOR", b"UklGR", b"SUkqA", b"TU0AK")
"""Beginnings of pictures in Base64."""
_START = 1_024
"""Bytes in which a web page shows itself."""


def read_source(data: bytes) -> Source:
    """The structure of a file, whatever its format. Raises InvalidImage for an empty one and for damage.

    UnsupportedMediaType names the format, or the kind of file in it, that is not read.
    """
    if not data:
        raise InvalidImage("The image is empty: it has 0 bytes. Send the file's bytes.")
    kind = content_type_of(data)
    if kind in _READERS:
        return _READERS[kind](data)
    raise UnsupportedMediaType(f"This is {_describe(data)}. Send {READABLE}.")


def check_label(data: bytes, called: str) -> None:
    """Raises UnsupportedMediaType for bytes that are `called` by the type of an image that is read, and are none."""
    if data and called in _READERS and content_type_of(data) not in _READERS:
        raise UnsupportedMediaType(f"The body is called {called}, but it is {_describe(data)}. Send {READABLE}.")


def _describe(data: bytes) -> str:
    if _WEB_PAGE.match(data[:_START]):
        return "a web page, not an image: give the address of the image itself"
    if data.startswith(_LFS_POINTER):
        return "a Git LFS pointer, not the image: run `git lfs pull` where it was cloned"
    if data.startswith(_BASE64):
        return "an image in Base64: send its bytes, or the text as img in JSON"
    kind = content_type_of(data)
    return f"{_NAMES[kind]}, which is not read" if kind in _NAMES else "no image that is known here"
