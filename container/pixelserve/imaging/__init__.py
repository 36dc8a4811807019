"""Bytes and arrays of pictures: codecs, tiling, resampling, sizes. Knows no web server."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.imaging.codecs import Header, decode, read_header
    from pixelserve.imaging.encoders import encode, flatten, to_8_bit
    from pixelserve.imaging.image import Image, Pixels
    from pixelserve.imaging.inputs import load_image, read_base64
    from pixelserve.imaging.requests import answer_type, encode_answer, read_request
    from pixelserve.imaging.resample import resize
    from pixelserve.imaging.sizes import Plan, check_input, check_ratio, plan_output
    from pixelserve.imaging.tiling import Progress, Tiles, run_tiled
else:
    __getattr__ = exports(
        __name__,
        {
            ".codecs": "Header decode read_header",
            ".encoders": "encode flatten to_8_bit",
            ".image": "Image Pixels",
            ".inputs": "load_image read_base64",
            ".requests": "answer_type encode_answer read_request",
            ".resample": "resize",
            ".sizes": "Plan check_input check_ratio plan_output",
            ".tiling": "Progress Tiles run_tiled",
        },
        moved={
            "MEDIA_TYPES": "pixelserve.media_types:MEDIA_TYPES",
            "fetch": "pixelserve.net:fetch",
        },
    )

__all__ = [
    "Header",
    "Image",
    "Pixels",
    "Plan",
    "Progress",
    "Tiles",
    "answer_type",
    "check_input",
    "check_ratio",
    "decode",
    "encode",
    "encode_answer",
    "flatten",
    "load_image",
    "plan_output",
    "read_base64",
    "read_header",
    "read_request",
    "resize",
    "run_tiled",
    "to_8_bit",
]
