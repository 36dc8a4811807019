"""Samples of less than a byte."""

from __future__ import annotations

import numpy as np

from pixelserve.imaging.image import Pixels


def unpack(rows: Pixels, bits: int) -> Pixels:
    """Samples of 1, 2, 4 or 8 bits, the highest bits first: (rows, bytes) to (rows, samples), which may be the same."""
    if bits == 8:
        return rows
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    return (rows[..., None] >> shifts & ((1 << bits) - 1)).reshape(len(rows), -1)
