"""What all features do alike with a request's body and with Accept."""

from __future__ import annotations

from typing import TypeVar

from pixelserve.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from pixelserve.imaging.codecs import decode
from pixelserve.imaging.encoders import MEDIA_TYPES
from pixelserve.imaging.image import Image
from pixelserve.imaging.inputs import load_image
from pixelserve.schema import ImageRequest, parse_attributes, parse_json
from pixelserve.settings import Settings

R = TypeVar("R", bound=ImageRequest)

JSON = "application/json"
FORMATS = {media_type: name for name, media_type in MEDIA_TYPES.items()}
"""Names for `encode`, by media type."""


def read_request(
    model: type[R], body: bytes, content_type: str, attributes: str, settings: Settings
) -> tuple[R, Image]:
    """The request and its picture: JSON that names or holds it, or the picture itself with options in `attributes`.

    Raises UnsupportedMediaType for other types, BadRequest, and what `fetch` and `decode` raise.
    """
    if is_json(content_type):
        request = parse_json(model, body)
        return request, load_image(settings, url=request.url, img=request.img)
    if not content_type.lower().startswith("image/"):
        raise UnsupportedMediaType(f"Content type {content_type} is not read here. Send {JSON} or an image as image/*.")
    request = parse_attributes(model, attributes)
    if request.url is not None or request.img is not None:
        raise BadRequest("The body is the image already. Leave url and img out.", param="url")
    return request, decode(body, settings)


def is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == JSON


def answer_type(accept: str, content_type: str, image_type: str = MEDIA_TYPES["png"]) -> str:
    """The first media type of Accept that can be answered: JSON or one of FORMATS.

    For `*/*` JSON is answered with JSON and an image with an image, which is of `image_type` where Accept leaves it
    open. Raises NotAcceptable.
    """
    for kind in (part.partition(";")[0].strip().lower() for part in accept.split(",")):
        if kind in ("*/*", ""):
            kind = JSON if is_json(content_type) else "image/*"
        if kind == "image/*":
            kind = image_type
        if kind == JSON or kind in FORMATS:
            return kind
    raise NotAcceptable(f"Accept {accept} cannot be answered. Accept {JSON}, {', '.join(FORMATS)}.")
