"""pixelserve: image models as SageMaker endpoints. What is exported here is enough to write a handler.

>>> from pixelserve import BadRequest, Context, Image, ImageRequest, answer_type, encode_answer, read_request

Importing this package loads nothing from third parties; each name loads what it needs when it is first used.
"""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pixelserve.errors import (
        BadRequest,
        CheckpointError,
        DeadlineExceeded,
        HandlerError,
        ImageTooLarge,
        InvalidImage,
        NotAcceptable,
        NotFound,
        OutOfMemory,
        OutputTooLarge,
        PixelserveError,
        TooLarge,
        TooSlow,
        Unavailable,
        UnsupportedMediaType,
    )
    from pixelserve.imaging import Image, decode, encode, encode_answer, load_image, read_request, resize
    from pixelserve.media_types import JSON, MEDIA_TYPES, answer_type, is_json, resolve_type
    from pixelserve.schema import ImageRequest
    from pixelserve.serving import Body, Context
else:
    __getattr__ = exports(
        __name__,
        {
            ".errors": "BadRequest CheckpointError DeadlineExceeded HandlerError ImageTooLarge InvalidImage "
            "NotAcceptable NotFound OutOfMemory OutputTooLarge PixelserveError TooLarge TooSlow Unavailable "
            "UnsupportedMediaType",
            ".imaging": "Image decode encode encode_answer load_image read_request resize",
            ".media_types": "JSON MEDIA_TYPES answer_type is_json resolve_type",
            ".schema": "ImageRequest",
            ".serving": "Body Context",
        },
    )

__all__ = [
    "JSON",
    "MEDIA_TYPES",
    "BadRequest",
    "Body",
    "CheckpointError",
    "Context",
    "DeadlineExceeded",
    "HandlerError",
    "Image",
    "ImageRequest",
    "ImageTooLarge",
    "InvalidImage",
    "NotAcceptable",
    "NotFound",
    "OutOfMemory",
    "OutputTooLarge",
    "PixelserveError",
    "TooLarge",
    "TooSlow",
    "Unavailable",
    "UnsupportedMediaType",
    "answer_type",
    "decode",
    "encode",
    "encode_answer",
    "is_json",
    "load_image",
    "read_request",
    "resize",
    "resolve_type",
]
