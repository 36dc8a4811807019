"""Bytes and arrays of pictures: codecs, tiling, resampling. Knows no web server, and the network by `net` alone."""

import warnings
from typing import Any

from pixelserve.imaging.codecs import Header, decode, read_header
from pixelserve.imaging.encoders import MEDIA_TYPES, encode
from pixelserve.imaging.image import Image
from pixelserve.imaging.inputs import load_image, read_base64
from pixelserve.imaging.resample import resize

__all__ = [
    "MEDIA_TYPES",
    "Header",
    "Image",
    "decode",
    "encode",
    "load_image",
    "read_base64",
    "read_header",
    "resize",
]


def __getattr__(name: str) -> Any:
    if name != "fetch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "pixelserve.imaging.fetch is pixelserve.net.fetch now, and goes with the next release.",
        DeprecationWarning,
        stacklevel=2,
    )
    from pixelserve.net import fetch

    return fetch
