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
    most = np.iinfo(pixels.dtype).max
    alpha = pixels[..., -1:].astype(np.float32)
    weighted = np.concatenate([pixels[..., :-1] * (alpha / most), alpha], axis=2)
    resized = np.clip(_with_channels(cv2.resize(weighted, (width, height), interpolation=method)), 0, most)
    colors = resized[..., :-1] * (most / np.maximum(resized[..., -1:], 1e-3))
    joined = np.concatenate([colors, resized[..., -1:]], axis=2)
    return np.clip(joined + 0.5, 0, most).astype(pixels.dtype)


def _with_channels(pixels: Pixels) -> Pixels:
    return pixels if pixels.ndim == 3 else pixels[..., None]
