"""What a file says of its picture before any pixel is decoded, and the words for what is not read or is damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pixelserve.errors import InvalidImage, UnsupportedMediaType
from pixelserve.imaging.image import Pixels

MOST_PROFILE_BYTES = 4_000_000
"""Of an ICC profile: those of printers have up to some three millions."""
READABLE = "JPEG, PNG, BMP, WebP or TIFF"


@dataclass(frozen=True)
class Header:
    """`format` in lower case, edges in pixels as stored; `channels` and `depth` (8 or 16) of the samples decoded."""

    format: str
    width: int
    height: int
    channels: int
    bits: int
    """Of a stored pixel, all its samples together."""
    depth: int = 8
    space: str = "RGB"
    """Of the colours: GRAY, RGB, or CMYK with 0 for no ink."""
    orientation: int = 1
    """Exif 2.3, tag 0x0112: 1 to 8."""
    profile: bytes | None = None
    scans: int = 1
    """How often a decoder goes over all pixels."""

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height once the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


class Source(NamedTuple):
    """A file whose structure was read: what it holds, and how to decode that to (H, W, C) as stored."""

    header: Header
    decode: Callable[[], Pixels]


def unsupported(kind: str) -> UnsupportedMediaType:
    """The error for a kind of file that is whole, but not read."""
    return UnsupportedMediaType(f"{kind} is not read. Save it as 8- or 16-bit grey or RGB, for example as PNG.")


def damaged(name: str, what: str = "is damaged or cut off") -> InvalidImage:
    """The error for a file of a kind that is read, but not whole; `what` continues the sentence "The … file"."""
    return InvalidImage(f"The {name} file {what}. Send the whole file, or save it again.")
