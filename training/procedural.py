"""Images made from a seed alone, with the statistics that matter to super-resolution: edges of all sizes and contrasts.

"Dead leaves" (Lee, Mumford & Huang 2001; Achddou et al. 2021 for training on them): shapes with power-law radii occlude
one another. The leaves here are ellipses, polygons, rectangles and blobs, filled flat, shaded, with 1/f texture, with
gratings or with window grids; thin strokes and lettering lie between them; some layers are out of focus. The whole
is blurred as a lens blurs it: without that the network learns edges crisper than any photograph's, which costs 0.5 dB.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

SUPERSAMPLE = 2
LENS = (0.5, 2.5)
"""Deviation of the blur of the finished picture, in supersampled pixels."""
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?&%$#@+-=/()")


def image(seed: int, size: int = 256) -> Pixels:
    """The picture of a seed, (size, size, 3) uint8 RGB; the same on every machine with the same OpenCV."""
    rng = np.random.default_rng(seed)
    edge = size * SUPERSAMPLE
    canvas = np.ascontiguousarray(_fill(rng, edge, edge))
    layers = int(rng.integers(2, 4))
    leaves = int(rng.integers(30, 120))
    for layer in range(layers):
        for _ in range(leaves // layers):
            _draw_leaf(rng, canvas)
        for _ in range(rng.poisson(5)):
            _draw_stroke(rng, canvas)
        if rng.random() < 0.35:
            _draw_text(rng, canvas)
        if layer < layers - 1 and rng.random() < 0.4:
            canvas = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(1.0, 8.0)))
    canvas = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(*LENS)))
    if rng.random() < 0.5:
        canvas *= 1 + 0.3 * rng.uniform(-1, 1) * _ramp(rng, edge, edge)[..., None]
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8)


def _color(rng: np.random.Generator) -> Floats:
    """A colour whose channels go together, as in photographs: mostly light and dark, some hue."""
    light = rng.beta(1.2, 1.2)
    hue = rng.normal(0, 1, 3) * rng.choice([0.02, 0.06, 0.15], p=[0.5, 0.4, 0.1])
    return np.clip(light + hue - hue.mean(), 0, 1).astype(np.float32)


def _ramp(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A linear ramp of random direction in about [-1, 1], (height, width)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    return x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))


def _noise(rng: np.random.Generator, height: int, width: int) -> Floats:
    """1/f^a noise with unit deviation, (height, width): octaves of smooth noise, each finer one weaker."""
    falloff = rng.uniform(0.4, 0.8)
    total = np.zeros((height, width), np.float32)
    cells, weight = 2, 1.0
    while cells < max(height, width):
        octave = rng.standard_normal((cells + 2, cells + 2), np.float32)
        total += weight * cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight * falloff
    return total / (total.std() + 1e-6)


def _waves(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A grating in [-1, 1], sine or square, straight or bent, (height, width)."""
    period = 2 ** rng.uniform(3.0, 7)
    phase = _ramp(rng, height, width) * max(height, width) / 2 / period * 2 * np.pi
    if rng.random() < 0.4:
        phase = phase + rng.uniform(0.5, 4) * _ramp(rng, height, width) ** 2
    wave = np.sin(phase + rng.uniform(0, 6))
    return np.tanh(wave * rng.uniform(2, 12)) if rng.random() < 0.6 else wave


def _windows(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A grid of rectangles in {-1, 1}, (height, width), skewed as a wall seen at an angle."""
    step = rng.uniform(8, 48, 2)
    duty = rng.uniform(0.3, 0.85, 2)
    skew = rng.uniform(-0.5, 0.5, 2)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    inside = ((x + skew[0] * y) % step[0] < duty[0] * step[0]) & ((y + skew[1] * x) % step[1] < duty[1] * step[1])
    return np.where(inside, 1, -1).astype(np.float32)


def _fill(rng: np.random.Generator, height: int, width: int) -> Floats:
    """What a leaf is filled with, (height, width, 3) float32 in about [0, 1]."""
    color, other = _color(rng), _color(rng)
    kind = rng.choice(5, p=[0.15, 0.3, 0.4, 0.09, 0.06])
    if kind == 0:
        return np.full((height, width, 3), color, np.float32)
    if kind == 1:
        blend = 0.5 + 0.5 * _ramp(rng, height, width)
    elif kind == 2:
        blend = 0.5 + rng.uniform(0.05, 0.35) * _noise(rng, height, width)
    elif kind == 3:
        blend = 0.5 + 0.5 * _waves(rng, height, width)
    else:
        blend = 0.5 + 0.5 * _windows(rng, height, width)
    return color + np.clip(blend, 0, 1).astype(np.float32)[..., None] * (other - color)


def _outline(rng: np.random.Generator, radius: float) -> Floats:
    """A closed outline around the origin, (points, 2)."""
    kind = rng.choice(4, p=[0.3, 0.3, 0.2, 0.2])
    if kind == 0:
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        points = np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.2, 1)], 1)
    elif kind == 1:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.4, 1, (len(angles), 1))
    elif kind == 2:
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1, rng.uniform(0.1, 1)]
    else:
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        wobble = sum(rng.normal(0, 0.3 / k) * np.cos(k * angles + rng.uniform(0, 6)) for k in range(2, 7))
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * (1 + wobble)[:, None]
    turn = rng.uniform(0, 2 * np.pi) * (rng.random() < 0.7)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (points @ rotation * radius).astype(np.float32)


def _draw_leaf(rng: np.random.Generator, canvas: Floats) -> None:
    """One leaf, its radius drawn from r^-2 between 2 % and 60 % of the picture; a few are soft or see-through."""
    edge = canvas.shape[0]
    smallest, largest = 0.02 * edge, 0.6 * edge
    radius = 1 / (1 / smallest - rng.random() * (1 / smallest - 1 / largest))
    points = _outline(rng, radius) + rng.uniform(0, edge, 2).astype(np.float32)
    low = np.clip(np.floor(points.min(0)).astype(int) - 2, 0, edge - 1)
    high = np.clip(np.ceil(points.max(0)).astype(int) + 3, 1, edge)
    width, height = high - low
    if width < 2 or height < 2:
        return
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round((points - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    if rng.random() < 0.2:
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.7, 6.0)))
    cover = mask[..., None].astype(np.float32) / 255
    if rng.random() < 0.1:
        cover = cover * np.float32(rng.uniform(0.3, 0.9))
    view = canvas[low[1] : high[1], low[0] : high[0]]
    view += cover * (_fill(rng, int(height), int(width)) - view)


def _draw_stroke(rng: np.random.Generator, canvas: Floats) -> None:
    """A straight or bent thin line, hair to rope."""
    edge = canvas.shape[0]
    start, end, bend = rng.uniform(-0.1 * edge, 1.1 * edge, (3, 2))
    along = np.linspace(0, 1, 24)[:, None]
    if rng.random() < 0.5:
        bend = (start + end) / 2
    points = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
    thickness = int(np.clip(rng.exponential(3), 1, 14))
    color = tuple(float(c) for c in _color(rng))
    copies = int(rng.integers(2, 9)) if rng.random() < 0.1 else 1
    offset = rng.uniform(-1, 1, 2) * rng.uniform(2, 6) * thickness
    for copy in range(copies):
        moved = np.round((points + copy * offset) * 16).astype(np.int32)
        cv2.polylines(canvas, [moved], False, color, thickness, cv2.LINE_AA, shift=4)


def _draw_text(rng: np.random.Generator, canvas: Floats) -> None:
    """A few lines of letters."""
    edge = canvas.shape[0]
    scale, thickness = float(rng.uniform(0.4, 2.5)), int(rng.integers(1, 5))
    font, color = int(rng.choice(FONTS)), tuple(float(c) for c in _color(rng))
    x, y = (int(v) for v in rng.uniform(0, 0.8 * edge, 2))
    for line in range(int(rng.integers(1, 5))):
        text = "".join(rng.choice(LETTERS, int(rng.integers(3, 16))))
        cv2.putText(canvas, text, (x, y + int(line * 32 * scale)), font, scale, color, thickness, cv2.LINE_AA)
