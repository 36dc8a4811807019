"""One vector for a whole picture from its local features, without a network: copies of a picture get close vectors.

SIFT (Lowe 2004; free of patents since 2020) as RootSIFT (Arandjelović & Zisserman 2012), aggregated as VLAD (Jégou et
al. 2010) with normalised residuals and signed square roots, then centred, rotated and shortened by a whitening learnt
on drawn pictures (`training/fit_similarity.py`). SIFT does not see turns and changes of size; mirrored pictures differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pixelserve.imaging import Pixels

Floats = NDArray[Any]

WORK_PIXELS = 320 * 320
"""Pictures are brought to about this area, so that features of like size meet."""
MOST_FEATURES = 800
CENTRES, LOCAL_LENGTH, LENGTH = 16, 64, 512
_SMOOTHING = 0.3
"""Share of the median variance added to each in whitening, so that the faintest directions are not blown up."""


@dataclass(frozen=True)
class Vocabulary:
    """What is learnt: RootSIFT's mean (128,) and projection (128, L), centres (K, L), VLAD's mean (K*L,), whitening."""

    mean: Floats
    projection: Floats
    centres: Floats
    vlad_mean: Floats
    whitening: Floats

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        return cls(**{name: value.astype(np.float32) for name, value in load_file(path).items()})

    def save(self, path: Path) -> None:
        """Half precision: 1.1 MB, and the vectors differ in their fourth digit."""
        save_file({field.name: getattr(self, field.name).astype(np.float16) for field in fields(self)}, path)

    def vector(self, rgb: Pixels) -> Floats:
        """(H, W, 3) uint8 to (512,) float32, not normalised; of a picture without any feature its few colours."""
        local = local_features(rgb)
        if not len(local):
            return _colors(rgb)
        return (self.vlad(local) - self.vlad_mean) @ self.whitening

    def vlad(self, local: Floats) -> Floats:
        """Features (N, 128) to (K*L,) of length 1."""
        reduced = (local - self.mean) @ self.projection
        nearest = ((reduced[:, None] - self.centres) ** 2).sum(axis=2).argmin(axis=1)
        sums = np.zeros_like(self.centres)
        np.add.at(sums, nearest, reduced - self.centres[nearest])
        sums /= np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9
        rooted = np.sign(sums.ravel()) * np.sqrt(np.abs(sums.ravel()))
        return np.asarray(rooted / (np.linalg.norm(rooted) + 1e-9), np.float32)


def _colors(rgb: Pixels) -> Floats:
    """A picture of 8 x 8 pixels around middle grey, and a 1 that keeps middle grey from being nothing."""
    thumbnail = cv2.resize(rgb, (8, 8), interpolation=cv2.INTER_AREA).ravel() / np.float32(255) - np.float32(0.5)
    vector = np.zeros(LENGTH, np.float32)
    vector[: thumbnail.size] = thumbnail
    vector[thumbnail.size] = 1
    return vector


def local_features(rgb: Pixels) -> Floats:
    """RootSIFT of the picture's strongest points: (N, 128) float32."""
    ratio = float(np.sqrt(WORK_PIXELS / (rgb.shape[0] * rgb.shape[1])))
    size = (max(16, round(rgb.shape[1] * ratio)), max(16, round(rgb.shape[0] * ratio)))
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC)
    sift = cv2.SIFT.create(nfeatures=MOST_FEATURES, contrastThreshold=0.01, edgeThreshold=20)
    points, found = sift.detectAndCompute(cv2.cvtColor(resized, cv2.COLOR_RGB2GRAY), None)
    if not points:
        return np.zeros((0, 128), np.float32)
    return np.asarray(np.sqrt(found / (found.sum(axis=1, keepdims=True) + 1e-6)), np.float32)


def fit(pictures: Iterable[Pixels]) -> Vocabulary:
    """The vocabulary of pictures (H, W, 3) uint8; more than LENGTH of them. The same pictures give the same bytes."""
    features = [local for local in map(local_features, pictures) if len(local)]
    together = np.concatenate(features)
    mean = together.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((together - mean).T))
    projection = axes[:, ::-1][:, :LOCAL_LENGTH].astype(np.float32)
    reduced = np.ascontiguousarray((together - mean) @ projection)
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 1e-4)
    sample = reduced[np.random.default_rng(0).permutation(len(reduced))[:60_000]]
    _, _, centres = cv2.kmeans(sample, CENTRES, np.zeros((len(sample), 1), np.int32), stop, 2, cv2.KMEANS_PP_CENTERS)
    unwhitened = Vocabulary(mean, projection, centres, np.zeros(1, np.float32), np.zeros((1, 1), np.float32))
    vlads = np.stack([unwhitened.vlad(local) for local in features])
    vlad_mean = vlads.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((vlads - vlad_mean).T))
    variances, axes = variances[::-1][:LENGTH], axes[:, ::-1][:, :LENGTH]
    whitening = axes / np.sqrt(variances + _SMOOTHING * np.median(variances))
    return Vocabulary(mean, projection, centres, vlad_mean, whitening.astype(np.float32))
