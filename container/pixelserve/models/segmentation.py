"""Alpha of the people in a picture, and their cut-out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image, Pixels
from pixelserve.models import portable
from pixelserve.models.inputs import as_rgb
from pixelserve.models.people import PeopleFinder
from pixelserve.models.portable import Descriptor
from pixelserve.observe import EMBEDDED, ServedNetwork, announce
from pixelserve.settings import Settings

Alpha = NDArray[Any]
"""(h, w) float32 in [0, 1]."""

CLASSICAL = "classical"
"""The default's name in answers."""
EMPTY_BELOW, FULL_ABOVE = 0.25, 0.75
"""Probabilities that are read as none and as all of a pixel; networks seldom say 0 or 1."""
LEAST_SURE = 0.5
"""A mask that is nowhere as sure shows nobody, and `minmax` leaves it as it is."""
LEAST_AREA = 0.001
"""Share of the picture that must be more likely person than not; less is nobody."""
BAND_ROWS = 512
LEAST_CONTRAST = 8
"""Between the darkest and the brightest sample of a channel; a blank picture shows nobody, whatever a network sees."""
GUIDE_RADIUS = 2
GUIDE_SMOOTHNESS = 1e-4
EDGE_BLURS = (90, 6)
"""Pixels over which the colours of the person and of what is behind are estimated, coarse and fine."""


class Segmenter:
    """Tells people from what is behind them. `alpha` may be called from one thread at a time.

    `network` is the name of its file, or CLASSICAL; `about` says in custom attributes what runs.
    """

    def __init__(self, coarse: Callable[[Pixels], Alpha], network: str, served: ServedNetwork) -> None:
        self._coarse, self.network = coarse, network
        self.about = f"network={quote(network)};{served.attributes}"

    @classmethod
    def load(cls, model_dir: str, settings: Settings) -> Segmenter:
        """The network in `model_dir` (see `portable`), else the classical default. Raises CheckpointError."""
        path = portable.find(model_dir)
        if path is None:
            finder = PeopleFinder()
            served = ServedNetwork(EMBEDDED, "cascades, gradients and GrabCut", "", "OpenCV, CPU", "uint8")
            announce(served)
            return cls(lambda rgb: finder.mask(rgb).astype(np.float32) / 255, CLASSICAL, served)
        matting = _Matting(path, settings)
        return cls(matting, path.name, matting.served)

    def alpha(self, image: Image) -> Pixels:
        """(H, W, 1) uint8: how much of each pixel is a person; all 0 without one.

        What the picture's own alpha hides stays hidden. Raises ImageTooLarge for edges above LONGEST_EDGE.
        """
        rgb = as_rgb(image)
        alpha = np.zeros(rgb.shape[:2], np.float32)
        if np.ptp(rgb.reshape(-1, 3), axis=0).max() >= LEAST_CONTRAST:
            coarse = calibrated(self._coarse(rgb))
            if coarse.any():
                alpha = refined(coarse, rgb)
        if image.has_alpha:
            alpha *= image.pixels[..., -1] / np.float32(np.iinfo(image.pixels.dtype).max)
        return (alpha * 255 + 0.5).astype(np.uint8)[..., None]


class _Matting:
    """A network over the picture shrunk into its input."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._descriptor = portable.read_descriptor(path)
        if self._descriptor.crop:
            raise CheckpointError(f"The descriptor of {path.name} has crop: people are told in all of a picture.")
        self._run, self.served = portable.load(path, self._descriptor, settings)
        mask = self(np.zeros((self._descriptor.height, self._descriptor.width, 3), np.uint8))
        if mask.ndim != 2 or min(mask.shape) < 2:
            raise CheckpointError(f"{path.name} gives no mask: {mask.shape} for its whole input. See its descriptor.")

    def __call__(self, rgb: Pixels) -> Alpha:
        wanted = self._descriptor
        small, left, top = wanted.placed(rgb)
        height, width = small.shape[:2]
        padded = cv2.copyMakeBorder(
            small, top, wanted.height - height - top, left, wanted.width - width - left, cv2.BORDER_REPLICATE
        )
        planes = self._run(wanted.input_of(np.asarray(padded, np.uint8)))
        if wanted.layout == "nhwc" and planes.ndim == 4:
            planes = planes.transpose(0, 3, 1, 2)
        person = probability(planes.reshape(-1, *planes.shape[-2:]), wanted)
        scale_y, scale_x = person.shape[0] / wanted.height, person.shape[1] / wanted.width
        rows = slice(round(top * scale_y), round((top + height) * scale_y))
        columns = slice(round(left * scale_x), round((left + width) * scale_x))
        return np.asarray(person[rows, columns])


def probability(planes: NDArray[Any], descriptor: Descriptor) -> Alpha:
    """The person's plane of (C, h, w) after the activation, in [0, 1]; NaN counts as nobody. Raises CheckpointError."""
    if descriptor.channel >= len(planes):
        raise CheckpointError(f"The descriptor's channel is {descriptor.channel}; there are {len(planes)} planes.")
    if descriptor.activation == "softmax":
        powers = np.exp(planes - planes.max(axis=0))
        planes = np.asarray(powers / powers.sum(axis=0))
    elif descriptor.activation == "sigmoid":
        planes = 1 / (1 + np.exp(-np.clip(planes, -60, 60)))
    person = planes[descriptor.channel]
    if descriptor.activation == "minmax":
        least, most = person.min(), person.max()
        if most >= LEAST_SURE:
            person = (person - least) / max(most - least, np.finfo(np.float32).tiny)
    return np.asarray(np.clip(np.nan_to_num(person, nan=0.0), 0, 1))


def calibrated(probabilities: Alpha) -> Alpha:
    """Near-certainties made certain, by bounds that are fixed; all 0 where too few pixels are likely."""
    if (probabilities > 0.5).mean() < LEAST_AREA:
        return np.zeros_like(probabilities)
    return np.clip((probabilities - EMPTY_BELOW) / (FULL_ABOVE - EMPTY_BELOW), 0, 1)


def refined(alpha: Alpha, rgb: Pixels) -> Alpha:
    """Alpha (h, w) brought to the picture's size along the picture's edges: the fast guided filter (He & Sun 2015)."""
    guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    small = cv2.resize(guide, alpha.shape[::-1], interpolation=cv2.INTER_AREA)

    def mean(values: Alpha) -> Alpha:
        return np.asarray(cv2.blur(values, (2 * GUIDE_RADIUS + 1,) * 2), np.float32)

    means = mean(small), mean(alpha)
    slope = (mean(small * alpha) - means[0] * means[1]) / (mean(small * small) - means[0] ** 2 + GUIDE_SMOOTHNESS)
    offset = means[1] - slope * means[0]
    size = (rgb.shape[1], rgb.shape[0])
    slope, offset = (cv2.resize(mean(values), size, interpolation=cv2.INTER_LINEAR) for values in (slope, offset))
    return np.clip(slope * guide + offset, 0, 1).astype(np.float32)


def cut_out(image: Image, alpha: Pixels) -> Image:
    """The picture in sRGB, as RGBA with `alpha` (H, W, 1) uint8; what shone through at edges is taken out of colours.

    Colours in front and behind are estimated by blurs weighted by alpha, coarse then fine (Forte 2021).
    """
    rgb = as_rgb(Image(image.pixels[..., :-1], image.icc) if image.has_alpha else image)
    out = np.empty((*rgb.shape[:2], 4), np.uint8)
    out[..., 3:] = alpha
    margin = sum(EDGE_BLURS)
    for top in range(0, len(rgb), BAND_ROWS):  # whole pictures of floats would take gigabytes
        start, end = max(0, top - margin), min(len(rgb), top + BAND_ROWS + margin)
        band = rgb[start:end].astype(np.float32)
        weight = alpha[start:end, :, 0].astype(np.float32) / 255
        front, behind = band, band
        for size in EDGE_BLURS:
            front, behind = _estimated(band, front, behind, weight, size)
        out[top : top + BAND_ROWS, :, :3] = front[top - start : top - start + BAND_ROWS] + 0.5
    return Image(out)


def _estimated(
    rgb: NDArray[Any], front: NDArray[Any], behind: NDArray[Any], weight: Alpha, size: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    def blurred(colors: NDArray[Any], share: Alpha) -> NDArray[Any]:
        total = cv2.blur(share, (size, size))[..., None]
        return np.asarray(cv2.blur(colors * share[..., None], (size, size)) / (total + 1e-5), np.float32)

    near, far = blurred(front, weight), blurred(behind, 1 - weight)
    alpha = weight[..., None]
    return np.clip(near + alpha * (rgb - alpha * near - (1 - alpha) * far), 0, 255), far
