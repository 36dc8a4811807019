"""The picture a request names or holds."""

from __future__ import annotations

from pixelserve.errors import BadRequest
from pixelserve.imaging.codecs import Check, decode
from pixelserve.imaging.image import Image
from pixelserve.schema import read_base64
from pixelserve.settings import Settings, settings


def load_image(
    limits: Settings | None = None,
    *,
    url: str | None,
    img: str | None,
    suffix: str = "",
    check: Check | None = None,
) -> Image:
    """The picture at `url` or in `img` (Base64, or a data: URL, which may be the `url` too); one is to be given.

    `limits` are the process's settings by default. `suffix` is that of the fields' names in the request. `check` gets
    width and height before the picture is decoded. Raises what `fetch` and `decode` raise.
    """
    limits = limits or settings()
    if url is not None and img is not None:
        raise BadRequest(f"url{suffix} and img{suffix} are both given: give one of them.", param=f"img{suffix}")
    if url is not None and url.lstrip()[:5].lower() == "data:":
        return decode(read_base64(url, f"url{suffix}"), limits, check)
    if url is not None:
        from pixelserve.net import fetch  # its HTTP client takes a tenth of a second to load, and few requests need it

        return decode(fetch(url, limits), limits, check)
    if img is not None:
        return decode(read_base64(img, f"img{suffix}"), limits, check)
    raise BadRequest("No image is given. Give its address as url, or its bytes in Base64 as img.", param="url")
