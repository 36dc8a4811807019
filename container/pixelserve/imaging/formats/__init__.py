"""The formats that are read: a module for each reads its structure and decodes its samples.

| module | structure | pixels |
|---|---|---|
| jpeg | here | simplejpeg, strict |
| png | here | OpenCV; palette and transparency here |
| bmp | here | here |
| webp | here | Pillow |
| tiff | here | zlib, simplejpeg, libtiff through Pillow; fax, samples and colours here |

Each `read(data)` gives a `Source`, or raises UnsupportedMediaType naming the kind of file, or InvalidImage.
"""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.imaging.formats.header import MOST_PROFILE_BYTES, Header, Source, damaged
    from pixelserve.imaging.formats.kinds import check_label, read_source
else:
    __getattr__ = exports(
        __name__, {".header": "MOST_PROFILE_BYTES Header Source damaged", ".kinds": "check_label read_source"}
    )

__all__ = ["MOST_PROFILE_BYTES", "Header", "Source", "check_label", "damaged", "read_source"]
