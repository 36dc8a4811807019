"""What all features do alike with a request's body and with the picture that answers it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TypeVar

import pybase64

from pixelserve.errors import BadRequest, UnsupportedMediaType
from pixelserve.imaging.codecs import Check, decode
from pixelserve.imaging.encoders import encode
from pixelserve.imaging.formats import check_label
from pixelserve.imaging.image import Image
from pixelserve.imaging.inputs import load_image
from pixelserve.media_types import JSON, OPEN_TYPES, content_type_of, essence, is_json, resolve_type
from pixelserve.schema import ImageRequest, parse_attributes, parse_json
from pixelserve.settings import Settings

R = TypeVar("R", bound=ImageRequest)


def read_request(
    model: type[R],
    body: bytes,
    content_type: str,
    attributes: str = "",
    limits: Settings | None = None,
    check: Callable[[R, int, int], None] | None = None,
) -> tuple[R, Image]:
    """The request and its picture: JSON that names or holds it, or the picture itself with options in `attributes`.

    Where the type leaves it open the bytes say which, see `resolve_type`. `limits` are the process's settings by
    default. `check` gets the request and the picture's width and height before it is decoded, and may raise. Raises
    UnsupportedMediaType for other types, BadRequest, and what `fetch` and `decode` raise.
    """
    content_type = resolve_type(content_type, body)
    if is_json(content_type):
        request = parse_json(model, body)
        return request, load_image(limits, url=request.url, img=request.img, check=_bound(check, request))
    kind = essence(content_type)
    if not kind.startswith("image/") and kind not in (*OPEN_TYPES, content_type_of(body)):
        raise UnsupportedMediaType(f"Content type {content_type} is not read here. Send {JSON} or an image as image/*.")
    request = parse_attributes(model, attributes)
    if request.url is not None or request.img is not None:
        raise BadRequest("The body is the image already. Leave url and img out.", param="url")
    check_label(body, kind)
    return request, decode(body, limits, _bound(check, request))


def _bound(check: Callable[[R, int, int], None] | None, request: R) -> Check | None:
    return None if check is None else functools.partial(check, request)


def encode_answer(
    image: Image, media_type: str, format: str = "png", quality: int = 90
) -> tuple[str | list[bytes | memoryview], str]:
    """The picture as output_fn answers it in a type that `answer_type` chose: its file, or JSON with that in Base64.

    `format` is that of the file in JSON, `quality` (1 to 100) for jpeg and webp. Raises what `encode` raises.
    """
    if media_type != JSON:
        return encode(image, media_type, quality), media_type
    file = b"".join(encode(image, format, quality))
    return json.dumps({"result": pybase64.b64encode_as_string(file)}), JSON
