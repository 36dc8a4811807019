"""Bytes, URLs and arrays of pictures: codecs, guarded fetch, tiling, resampling. Knows no network and no web server."""

from pixelserve.imaging.codecs import Header, decode, read_header
from pixelserve.imaging.encoders import MEDIA_TYPES, encode
from pixelserve.imaging.fetch import fetch
from pixelserve.imaging.image import Image
from pixelserve.imaging.inputs import load_image, read_base64
from pixelserve.imaging.resample import resize

__all__ = [
    "MEDIA_TYPES",
    "Header",
    "Image",
    "decode",
    "encode",
    "fetch",
    "load_image",
    "read_base64",
    "read_header",
    "resize",
]
