"""The picture a request names or holds."""

from __future__ import annotations

from pixelserve.errors import BadRequest
from pixelserve.imaging.codecs import decode
from pixelserve.imaging.image import Image
from pixelserve.schema import read_base64
from pixelserve.settings import Settings, settings


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
