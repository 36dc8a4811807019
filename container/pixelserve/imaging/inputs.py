"""The picture a request names or holds."""

from __future__ import annotations

import base64
import binascii

from pixelserve.errors import BadRequest
from pixelserve.imaging.codecs import decode
from pixelserve.imaging.image import Image
from pixelserve.settings import Settings, settings


def read_base64(text: str, param: str) -> bytes:
    """Base64 as people send it: data: URLs, line breaks, the URL alphabet and missing padding included.

    Raises BadRequest naming `param`.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    text = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{param} is not Base64. Encode the image file's bytes.", param=param) from error
    if not data:
        raise BadRequest(f"{param} is empty. Put the image file's bytes in it, in Base64.", param=param)
    return data


def load_image(limits: Settings | None = None, *, url: str | None, img: str | None, suffix: str = "") -> Image:
    """The picture at `url` or in `img` (Base64); exactly one of them is to be given, else BadRequest.

    `limits` are the process's settings by default. `suffix` is that of the fields' names in the request. Raises
    what `fetch` and `decode` raise.
    """
    limits = limits or settings()
    if url is not None and img is not None:
        raise BadRequest(f"url{suffix} and img{suffix} are both given: give one of them.", param=f"img{suffix}")
    if url is not None:
        from pixelserve.net import fetch  # its HTTP client takes a tenth of a second to load, and few requests need it

        return decode(fetch(url, limits), limits)
    if img is not None:
        return decode(read_base64(img, f"img{suffix}"), limits)
    raise BadRequest("No image is given. Give its address as url, or its bytes in Base64 as img.", param="url")
