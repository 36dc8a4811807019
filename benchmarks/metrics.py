"""PSNR and SSIM as papers on super-resolution report them: on the luma of BT.601 in studio range, without the border.

The conversion is that of MATLAB's rgb2ycbcr; SSIM is that of Wang et al. (2004), an 11x11 Gaussian window of deviation
1.5 over whole windows only.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Doubles = NDArray[np.float64]

LUMA = (65.481, 128.553, 24.966)
WINDOW, DEVIATION = 11, 1.5
STABILIZERS = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)


def luma(picture: Pixels) -> Doubles:
    """(H, W, 3) uint8 RGB -> (H, W) float64, 16 to 235, not rounded."""
    result: Doubles = picture @ np.array(LUMA) / 255 + 16
    return result


def psnr_y(picture: Pixels, reference: Pixels, border: int) -> float:
    """Decibels between the lumas of two (H, W, 3) uint8 pictures, `border` pixels left out on each side."""
    error = float(np.mean((_inner(picture, border) - _inner(reference, border)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim_y(picture: Pixels, reference: Pixels, border: int) -> float:
    """Structural similarity of the lumas, at most 1, `border` pixels left out on each side."""
    one, two = _inner(picture, border), _inner(reference, border)
    mean_one, mean_two = _blur(one), _blur(two)
    variance_one = _blur(one * one) - mean_one**2
    variance_two = _blur(two * two) - mean_two**2
    covariance = _blur(one * two) - mean_one * mean_two
    c1, c2 = STABILIZERS
    likeness = (2 * mean_one * mean_two + c1) * (2 * covariance + c2)
    return float(np.mean(likeness / ((mean_one**2 + mean_two**2 + c1) * (variance_one + variance_two + c2))))


def _inner(picture: Pixels, border: int) -> Doubles:
    height, width = picture.shape[:2]
    return luma(picture)[border : height - border, border : width - border]


def _blur(values: Doubles) -> Doubles:
    """The Gaussian mean of every whole window: 10 fewer rows and columns."""
    kernel = cv2.getGaussianKernel(WINDOW, DEVIATION)
    edge = WINDOW // 2
    return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)[edge:-edge, edge:-edge]
