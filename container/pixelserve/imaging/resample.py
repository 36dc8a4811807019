"""Antialiased resizing of whole pictures."""

from __future__ import annotations

import cv2
import numpy as np

from pixelserve.imaging.image import Pixels


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """(H, W, C) uint8 or uint16 to (height, width, C): Lanczos when enlarging, area averages when shrinking.

    Colours are weighted by alpha (C 2 or 4), so that what is transparent does not bleed into what is not.
    """
    if (pixels.shape[1], pixels.shape[0]) == (width, height):
        return pixels
    shrinks = width < pixels.shape[1] or height < pixels.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    if pixels.shape[2] in (1, 3):
        return _with_channels(cv2.resize(pixels, (width, height), interpolation=method))
    most = float(np.iinfo(pixels.dtype).max)
    out = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    alpha = pixels[..., -1].astype(np.float32)
    resized_alpha = np.clip(cv2.resize(alpha, (width, height), interpolation=method), 0, most)
    out[..., -1] = resized_alpha + 0.5
    np.maximum(resized_alpha, 1e-3, out=resized_alpha)
    for channel in range(pixels.shape[2] - 1):  # one at a time: a float picture would be four times the result
        color = cv2.resize(pixels[..., channel] * alpha, (width, height), interpolation=method)
        np.divide(color, resized_alpha, out=color)
        out[..., channel] = np.clip(color + 0.5, 0, most)
    return out


def _with_channels(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 3 else pixels[..., None]
