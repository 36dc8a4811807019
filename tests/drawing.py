"""Test pictures drawn by code."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def picture(height: int = 48, width: int = 64, channels: int = 3, depth: int = 8, seed: int = 0) -> NDArray[Any]:
    """Shading, shapes and letters: (height, width, channels) uint8 or uint16; alpha has clear and half-clear parts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    colors = np.stack([0.2 + 0.6 * x, 0.8 - 0.5 * y, 0.5 + 0.4 * np.sin(9 * x * y)], axis=2)
    for _ in range(6):
        center = tuple(int(v) for v in rng.uniform(0, 1, 2) * (width, height))
        color = tuple(float(c) for c in rng.random(3))
        cv2.circle(colors, center, max(1, int(rng.uniform(0.05, 0.25) * height)), color, -1, cv2.LINE_AA)
    cv2.putText(colors, "Ag7", (width // 8, height * 3 // 4), cv2.FONT_HERSHEY_SIMPLEX, height / 60, (0, 0, 0), 1)
    alpha = np.clip(2 * x - 0.5, 0, 1)[..., None]
    grey = colors.mean(axis=2, keepdims=True)
    parts = {1: [grey], 2: [grey, alpha], 3: [colors], 4: [colors, alpha]}[channels]
    most = 255 if depth == 8 else 65535
    joined = np.clip(np.concatenate(parts, axis=2), 0, 1) * most
    return np.ascontiguousarray(np.rint(joined).astype(np.uint8 if depth == 8 else np.uint16))
