"""What a network gives for a whole picture, computed without the service."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from pixelserve.imaging import Pixels

BORDER = 8
"""Pixels of the edge that the service repeats around a picture."""
WIDTH = 16
"""With as many more on the right as make the width a multiple of this."""


def reference(network: nn.Module, pixels: Pixels, scale: int, multiple: int = 1) -> NDArray[Any]:
    """(H, W, 3) uint8 through a network of `scale` in one piece, with its border: (H * scale, W * scale, 3) float32.

    Its values are those of uint8, neither rounded nor cut off.

    Below, the border ends at a multiple of `multiple`, as unshuffling networks need it.
    """
    height, width = pixels.shape[:2]
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    sides = (BORDER, BORDER + -width % WIDTH, BORDER, BORDER + -height % multiple)
    with torch.inference_mode():
        out = network.eval()(functional.pad(planes, sides, mode="replicate"))
    start = BORDER * scale
    kept = out[0, :, start : start + height * scale, start : start + width * scale]
    return (kept.permute(1, 2, 0) * 255).numpy()


def rounded(values: NDArray[Any]) -> NDArray[Any]:
    """As uint8, in int."""
    return np.rint(np.clip(values, 0, 255)).astype(int)
