"""Bytes and arrays of pictures: codecs, tiling, resampling, sizes. Knows no web server."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.imaging.codecs import decode, read_header
    from pixelserve.imaging.encoders import encode, flatten, to_8_bit
    from pixelserve.imaging.formats import Header
    from pixelserve.imaging.headers import read_size
    from pixelserve.imaging.image import Image, Pixels
    from pixelserve.imaging.inputs import load_image
    from pixelserve.imaging.profiles import to_srgb
    from pixelserve.imaging.requests import encode_answer, read_request
    from pixelserve.imaging.resample import resize
    from pixelserve.imaging.sizes import Plan, check_edge, check_format, check_input, check_ratio, plan_output
    from pixelserve.imaging.tiling import SMALLEST_TILE, Progress, Tiles, read_pixels, run_tiled
else:
    __getattr__ = exports(
        __name__,
        {
            ".codecs": "decode read_header",
            ".encoders": "encode flatten to_8_bit",
            ".formats": "Header",
            ".image": "Image Pixels",
            ".headers": "read_size",
            ".inputs": "load_image",
            ".profiles": "to_srgb",
            ".requests": "encode_answer read_request",
            ".resample": "resize",
            ".sizes": "Plan check_edge check_format check_input check_ratio plan_output",
            ".tiling": "SMALLEST_TILE Progress Tiles read_pixels run_tiled",
        },
        moved={
            "MEDIA_TYPES": "pixelserve.media_types:MEDIA_TYPES",
            "answer_type": "pixelserve.media_types:answer_type",
            "fetch": "pixelserve.net:fetch",
            "read_base64": "pixelserve.schema:read_base64",
        },
    )

__all__ = [
    "SMALLEST_TILE",
    "Header",
    "Image",
    "Pixels",
    "Plan",
    "Progress",
    "Tiles",
    "check_edge",
    "check_format",
    "check_input",
    "check_ratio",
    "decode",
    "encode",
    "encode_answer",
    "flatten",
    "load_image",
    "plan_output",
    "read_header",
    "read_pixels",
    "read_request",
    "read_size",
    "resize",
    "run_tiled",
    "to_8_bit",
    "to_srgb",
]
