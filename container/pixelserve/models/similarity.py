"""A vector for each picture, and how alike two are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelserve.errors import HandlerError
from pixelserve.imaging import Image, Pixels
from pixelserve.models import portable
from pixelserve.models.inputs import as_rgb
from pixelserve.models.vlad import Vocabulary
from pixelserve.observe import EMBEDDED, ServedNetwork, announce
from pixelserve.settings import Settings

Vector = NDArray[Any]
VOCABULARY = Path(__file__).parent / "embedded" / "similarity.safetensors"


class Embedder:
    """Pictures to vectors whose cosine tells how alike they are; `about` says in custom attributes what runs."""

    def __init__(self, vector: Callable[[Pixels], Vector], served: ServedNetwork) -> None:
        self._vector = vector
        self.about = served.attributes

    @classmethod
    def load(cls, model_dir: str, settings: Settings) -> Embedder:
        """The network in `model_dir` (see `portable`), else the embedded default. Raises CheckpointError."""
        path = portable.find(model_dir, (*portable.SUFFIXES, ".pth"))
        if path is None:
            served = ServedNetwork(EMBEDDED, "VLAD of SIFT", "", "OpenCV, CPU", "float32")
            announce(served)
            return cls(Vocabulary.load(VOCABULARY).vector, served)
        backbone = _Backbone(path, settings)
        return cls(backbone, backbone.served)

    def vector(self, image: Image) -> Vector:
        """(N,) float32, not normalised; 512 long with the default. Raises ImageTooLarge above LONGEST_EDGE."""
        return self._vector(as_rgb(image))


class _Backbone:
    """A network over the picture brought into its input as its descriptor says; what is left has its mean colour."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._descriptor = portable.read_descriptor(path)
        self._run, self.served = portable.load(path, self._descriptor, settings)

    def __call__(self, rgb: Pixels) -> Vector:
        wanted = self._descriptor
        small, left, top = wanted.placed(rgb)
        canvas = np.empty((wanted.height, wanted.width, 3), np.uint8)
        canvas[:] = np.rint(small.mean(axis=(0, 1)))
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        vector = self._run(wanted.input_of(canvas)).ravel()
        if not np.isfinite(vector).all():
            raise HandlerError("The network gave numbers that are not finite for this image.")
        return vector


def poses(image: Image, rotations: bool, mirrored: bool) -> Iterator[tuple[Image, dict[str, Any]]]:
    """The picture as it is and, where asked for, in each of four turns and mirrored, with how it lies.

    `mirrored` comes before the turn of `rotation` degrees against the clock; each is only there where asked for. What
    is yielded is 8-bit RGB in sRGB, so that colours are converted once. Raises ImageTooLarge as `Embedder.vector`.
    """
    rgb = as_rgb(image)
    for flip in (False, True) if mirrored else (False,):
        for turns in range(4) if rotations else (0,):
            pixels = np.rot90(rgb[:, ::-1] if flip else rgb, turns)
            lies = ({"rotation": 90 * turns} if rotations else {}) | ({"mirrored": flip} if mirrored else {})
            yield Image(np.ascontiguousarray(pixels)), lies


def normalized(vector: Vector) -> Vector:
    """The vector brought to length 1; a vector of 0 stays."""
    length = np.linalg.norm(vector)
    return np.asarray(vector / length, np.float32) if length > 0 else vector


def cosine(first: Vector, second: Vector) -> float:
    """In [-1, 1]; 0 when one of the vectors is 0."""
    return float(np.clip(normalized(first) @ normalized(second), -1, 1))
