"""The picture type that every part hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
"""(H, W, C) uint8 or uint16, C-contiguous. C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""


@dataclass(frozen=True, slots=True)
class Image:
    """Pixels in sRGB, unless `icc` holds the profile they are in. Raises ValueError for pixels of another form."""

    pixels: Pixels
    icc: bytes | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 2, 3, 4):
            raise ValueError(f"pixels have the shape {self.pixels.shape}: (H, W, 1 to 4) is wanted")
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"pixels are {self.pixels.dtype}: uint8 or uint16 is wanted")

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def has_alpha(self) -> bool:
        return self.channels in (2, 4)

    @property
    def depth(self) -> int:
        """Bits of a sample, 8 or 16."""
        return 8 * self.pixels.dtype.itemsize
