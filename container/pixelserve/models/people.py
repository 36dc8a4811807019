"""People in a picture without any weights to fetch: detectors of OpenCV seed GrabCut. Classical, and named as such.

Faces by cascades (Viola & Jones 2001; frontal and profile), standing figures by oriented gradients (Dalal & Triggs
2005), a body drawn around each by usual proportions, and GrabCut (Rother et al. 2004) to find its true outline. Where
nobody is detected nobody is seen: a prior without a detection sees people in every picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pixelserve.imaging import Pixels
from pixelserve.models.inputs import resized

Mask = NDArray[np.uint8]
"""(h, w)."""

WORK_EDGE = 400
FIGURE_EDGE = 480
"""Longest edges, in pixels, that outlines and figures are looked for at."""
LEAST_FRONTAL, LEAST_PROFILE, LEAST_FIGURE = 54.9, 2.0, 1.6
"""Scores of the last cascade stage, and of the figure detector, that count."""
ROUNDS = 4


@dataclass(frozen=True)
class Box:
    """A detection in work pixels: centre of the head, its width, and where the feet are (None: beyond the picture)."""

    x: float
    y: float
    head: float
    feet: float | None = None


class PeopleFinder:
    """Finds people. One call at a time: the detectors are not made for more."""

    def __init__(self) -> None:
        folder = f"{Path(cv2.__file__).parent}/data/"
        self._frontal = cv2.CascadeClassifier(folder + "haarcascade_frontalface_alt2.xml")
        self._profile = cv2.CascadeClassifier(folder + "haarcascade_profileface.xml")
        self._figures = cv2.HOGDescriptor()
        self._figures.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector()))

    def mask(self, rgb: Pixels) -> Mask:
        """(H, W, 3) uint8 to (h, w) uint8, 255 where people are; its longest edge is at most WORK_EDGE."""
        work = resized(rgb, WORK_EDGE / max(rgb.shape[:2]))
        found = self._faces(work) or self._standing(rgb, work.shape[1])
        return _cut(work, found) if found else np.zeros(work.shape[:2], np.uint8)

    def _faces(self, work: Pixels) -> list[Box]:
        grey = cv2.cvtColor(work, cv2.COLOR_RGB2GRAY)
        least = max(24, min(grey.shape) // 14)
        found = _detect(self._frontal, grey, least, LEAST_FRONTAL)
        mirrored = np.ascontiguousarray(grey[:, ::-1])
        found += _detect(self._profile, grey, least, LEAST_PROFILE)
        found += [(grey.shape[1] - x - w, y, w) for x, y, w in _detect(self._profile, mirrored, least, LEAST_PROFILE)]
        kept: list[tuple[int, int, int]] = []
        for x, y, width in found:
            if all(max(abs(x - a + (width - b) / 2), abs(y - c + (width - b) / 2)) > b / 2 for a, c, b in kept):
                kept.append((x, y, width))
        return [Box(x + width / 2, y + width / 2, width) for x, y, width in kept]

    def _standing(self, rgb: Pixels, work_width: int) -> list[Box]:
        picture = resized(rgb, FIGURE_EDGE / max(rgb.shape[:2]))
        if min(picture.shape[:2]) < 128:
            return []
        boxes, scores = self._figures.detectMultiScale(
            cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), winStride=(8, 8), padding=(16, 16), scale=1.06
        )
        ratio = work_width / picture.shape[1]
        found = []
        for (x, y, width, height), score in zip(boxes, np.ravel(scores), strict=True):
            if score >= LEAST_FIGURE:  # the detector's window has a margin of an eighth above and below
                head = 0.12 * height
                found.append(
                    Box(ratio * (x + width / 2), ratio * (y + 0.17 * height), ratio * head, ratio * (y + 0.9 * height))
                )
        return found


def _detect(cascade: Any, grey: Pixels, least: int, score: float) -> list[tuple[int, int, int]]:
    """(left, top, width) of what the cascade finds with that score, the surest first."""
    boxes, _, weights = cascade.detectMultiScale3(grey, 1.1, 4, minSize=(least, least), outputRejectLevels=True)
    ordered = sorted(zip(np.ravel(weights), map(tuple, boxes), strict=True), reverse=True)
    return [(int(box[0]), int(box[1]), int(box[2])) for weight, box in ordered if weight >= score]


def _cut(work: Pixels, found: list[Box]) -> Mask:
    labels = np.full(work.shape[:2], cv2.GC_BGD, np.uint8)
    for label, size in ((cv2.GC_PR_BGD, 1.5), (cv2.GC_PR_FGD, 1.0)):
        for box in found:
            _draw_body(labels, box, size, label)
    for box in found:
        _draw_core(labels, box)
    if (labels == cv2.GC_BGD).sum() < 16:  # GrabCut wants some of each
        labels[0] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(work, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.uint8(255), np.uint8(0))


def _draw_body(labels: Mask, box: Box, size: float, label: int) -> None:
    """Head, shoulders and body of usual proportions in units of the head's width, `size` times as wide."""
    head = box.head
    axes = (int(0.62 * head * size), int(0.78 * head * (1 + (size - 1) / 2)))
    cv2.ellipse(labels, (int(box.x), int(box.y - 0.05 * head)), axes, 0, 0, 360, label, -1)
    half = 1.3 * head * size
    top = box.y + 0.55 * head - 0.5 * head * (size - 1)
    bottom = labels.shape[0] + 10 if box.feet is None else box.feet + head * (size - 1)
    outline = [(0.3 * head, top), (0.85 * half, top + 0.45 * head), (half, top + 1.05 * head), (1.05 * half, bottom)]
    points = [(box.x + x, y) for x, y in outline] + [(box.x - x, y) for x, y in reversed(outline)]
    cv2.fillPoly(labels, [np.array(points, np.int32)], label)


def _draw_core(labels: Mask, box: Box) -> None:
    """What is surely the person: the middle of the face, and a line down the body."""
    head = box.head
    cv2.ellipse(labels, (int(box.x), int(box.y)), (int(0.33 * head), int(0.42 * head)), 0, 0, 360, cv2.GC_FGD, -1)
    bottom = labels.shape[0] if box.feet is None else box.y + 0.6 * (box.feet - box.y)
    start, end = (int(box.x), int(box.y + 0.6 * head)), (int(box.x), int(bottom))
    cv2.line(labels, start, end, cv2.GC_FGD, max(1, int(0.35 * head)))
