"""Faces of a picture, restored and laid back over the enlarged picture.

Faces are found by YuNet (Wu et al. 2023; OpenCV's FaceDetectorYN), brought to the pose of FFHQ by their five landmarks
(Karras et al. 2019; the places are those of GFPGAN's helper, facexlib, MIT) and restored by GFPGAN. Its own paste-back
rounds down, is half a pixel off, loses 16 bits and shows its boxes: ours does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image, Pixels
from pixelserve.models.checkpoints import SUFFIXES, Unfit, check_tensors, read_state_dict, without_prefix
from pixelserve.models.devices import name_device, pick_device
from pixelserve.models.folders import check_download
from pixelserve.models.gfpgan import SIZE, GFPGANv1Clean
from pixelserve.models.inputs import resized, spread
from pixelserve.models.pace import Pace
from pixelserve.models.runtimes import TYPES
from pixelserve.observe import ServedNetwork, announce
from pixelserve.settings import Settings

Floats = NDArray[Any]
Restore = Callable[[Floats], Floats]
"""A face (SIZE, SIZE, 3) float32, RGB in [-1, 1], to another of the same form."""

WEIGHTS = "gfpgan-v1.4"
"""The manifest's name of the two files."""
RESTORER, DETECTOR = "gfpgan", "face_detection_yunet"
"""How the names of their files begin, in lower case."""
_SUFFIXES = {RESTORER: SUFFIXES, DETECTOR: (".onnx",)}
"""How they end; others of these names are notes, code or something else."""
TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)
"""Where the eyes, the nose and the corners of the mouth (x, y) are in a face of SIZE, from the left."""
DETECTOR_EDGE = 960
"""Longest edge of the picture that faces are looked for in; YuNet knows faces of 10 to 300 pixels."""
LEAST_SCORE = 0.8
LEAST_EYES = 5.0
"""Pixels between the eyes; smaller faces are left as they are, as GFPGAN does."""
MOST_FACES = 32
"""The largest are restored."""
FADE = 64
"""Pixels from the edge of a restored face over which it fades in."""
BAND_PIXELS = 1 << 20
"""That are blended at once: a large face in whole would take gigabytes."""


@dataclass(frozen=True)
class Face:
    """`matrix` (2, 3) takes pixels (x, y) of the picture to those of a face of SIZE."""

    matrix: Floats

    @property
    def scale(self) -> float:
        """By which the face is enlarged to SIZE."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))


def find_files(model_dir: str) -> list[Path]:
    """The files at the top of a model folder that are for faces."""
    folder = Path(model_dir)
    paths = sorted(folder.iterdir()) if model_dir and folder.is_dir() else []
    return [path for path in paths if path.is_file() and any(_is_named(path, beginning) for beginning in _SUFFIXES)]


def _is_named(path: Path, beginning: str) -> bool:
    return path.name.lower().startswith(beginning) and path.suffix.lower() in _SUFFIXES[beginning]


class FaceRestorer:
    """Restores the faces of pictures. Called from one thread; a face has SIZE² pixels of `pace`.

    To time that raises CheckpointError for NaN and infinity.
    """

    def __init__(self, find: Callable[[Pixels], list[Face]], restore: Restore) -> None:
        self._find, self._restore = find, restore
        self.pace = Pace(lambda edge: self._restored(np.zeros((edge, edge, 3), np.float32)), [SIZE])

    @classmethod
    def load(cls, paths: list[Path], settings: Settings) -> FaceRestorer | None:
        """What `find_files` found; None for nothing. Raises CheckpointError for one without the other, and damage."""
        if not paths:
            return None
        restorers, detectors = (
            [path for path in paths if _is_named(path, beginning)] for beginning in (RESTORER, DETECTOR)
        )
        if len(restorers) != 1 or len(detectors) != 1:
            raise CheckpointError(
                f"Faces need one file of GFPGAN and one of YuNet; there are {', '.join(path.name for path in paths)}. "
                f"Both come with: pixelserve weights fetch {WEIGHTS}"
            )
        return cls(load_detector(detectors[0]), load_network(restorers[0], settings))

    def find(self, image: Image) -> list[Face]:
        """The faces to restore, the largest first."""
        faces = sorted(self._find(image.pixels), key=lambda face: face.scale)
        return faces[:MOST_FACES]

    def lay_over(self, enlarged: Pixels, pixels: Pixels, faces: Sequence[Face], check: Callable[[], None]) -> None:
        """Restores faces of `pixels`, and blends them into the picture enlarged from these; alpha stays.

        `check` is called before each face and each part of one, and may raise to stop. Raises CheckpointError for NaN
        and infinity.
        """
        for face in faces:
            check()
            part = cut(pixels, face)
            with self.pace.noting(SIZE**2):
                restored = self._restored(part)
            paste(enlarged, restored, face, pixels.shape[1], pixels.shape[0], check)

    def _restored(self, face: Floats) -> Floats:
        restored = self._restore(face)
        if not np.isfinite(restored).all():
            raise CheckpointError(
                "GFPGAN gives NaN or infinity for a face: its file is damaged, or its number type too small. "
                "PIXELSERVE_DTYPE=float32 is large enough."
            )
        return restored


def load_detector(path: Path) -> Callable[[Pixels], list[Face]]:
    """A function from a picture (H, W, C) of 8 or 16 bits to its faces. Raises CheckpointError."""
    check_download(path)
    try:
        detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), LEAST_SCORE)
        detector.detect(np.zeros((320, 320, 3), np.uint8))
    except cv2.error as error:
        raise CheckpointError(
            f"{path.name} does not run as YuNet of 2023: {error.err}. pixelserve weights fetch {WEIGHTS} has it."
        ) from error
    announce(ServedNetwork(path.name, "YuNet", "", "OpenCV, CPU", "float32"))

    def find(pixels: Pixels) -> list[Face]:
        ratio = min(1.0, DETECTOR_EDGE / max(pixels.shape[:2]))
        small = resized(pixels, ratio)
        rgb = spread(small.reshape(*small.shape[:2], -1))  # only of the small one: it takes several times its memory
        detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        found: Floats | None = detector.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
        if found is None:
            return []
        landmarks = (found[:, 4:14].reshape(-1, 5, 2).astype(np.float64) + 0.5) / ratio - 0.5
        eyes = np.linalg.norm(landmarks[:, 0] - landmarks[:, 1], axis=1)
        return [Face(align(points)) for points in landmarks[eyes >= LEAST_EYES]]

    return find


def load_network(path: Path, settings: Settings) -> Restore:
    """GFPGAN of a file, in float32 unless the settings force a type. Raises CheckpointError."""
    device, wanted = pick_device(settings.device), TYPES.get(settings.dtype, torch.float32)
    state = read_state_dict(path)
    with torch.device("meta"):
        network = GFPGANv1Clean()
    try:
        state = without_prefix(state, ["stylegan_decoder.constant_input.weight"])
        check_tensors(network, state)
    except Unfit as error:
        raise CheckpointError(f"{path.name} {error}. GFPGAN 1.3 and 1.4 fit, as its authors publish them.") from None
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False).to(device, wanted)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    runtime, dtype = f"torch, {name_device(device)}", str(wanted).removeprefix("torch.")
    announce(ServedNetwork(path.name, "GFPGANv1Clean", "", runtime, dtype))

    def restore(face: Floats) -> Floats:
        planes = torch.from_numpy(face).permute(2, 0, 1)[None].to(device, wanted)
        with torch.inference_mode():
            restored = network(planes.contiguous(memory_format=torch.channels_last))[0]
            return np.ascontiguousarray(restored.float().permute(1, 2, 0).cpu().numpy())

    return restore


def align(landmarks: Floats) -> Floats:
    """The turn, scale and shift (2, 3) that brings five points (5, 2) nearest to TEMPLATE, by least squares."""
    given, wanted = (points[:, 0] + 1j * points[:, 1] for points in (landmarks, TEMPLATE))
    centred = given - given.mean()
    factor = (centred.conj() @ (wanted - wanted.mean())) / (centred.conj() @ centred)
    shift = wanted.mean() - factor * given.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def cut(pixels: Pixels, face: Face) -> Floats:
    """The face out of a picture (H, W, C) of 8 or 16 bits: (SIZE, SIZE, 3) float32 in [-1, 1]."""
    most, ratio = float(np.iinfo(pixels.dtype).max), min(1.0, face.scale)
    left, top, right, bottom = _bounds(face.matrix)
    margin = 2 + math.ceil(2 / ratio)  # what interpolation and antialiasing read around
    rows, columns = _mirrored(top, bottom, len(pixels), margin), _mirrored(left, right, pixels.shape[1], margin)
    part = np.ascontiguousarray(pixels[rows, columns, : 3 if pixels.shape[2] >= 3 else 1])
    small = resized(part, ratio)  # antialiased
    scaling = _scaling(small.shape[1] / part.shape[1], small.shape[0] / part.shape[0])
    aligned = cv2.warpAffine(
        small,
        face.matrix @ _shift(columns.start, rows.start) @ scaling,
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # mirrored beyond the picture, as in FFHQ, of which GFPGAN has learnt
    colors = np.broadcast_to(aligned.reshape(SIZE, SIZE, -1), (SIZE, SIZE, 3))
    return np.asarray(colors / np.float32(most / 2) - 1, np.float32)


def paste(enlarged: Pixels, restored: Floats, face: Face, width: int, height: int, check: Callable[[], None]) -> None:
    """Blends a face (SIZE, SIZE, 3) in [-1, 1] into what a picture of (height, width) was enlarged to, in place.

    `check` is called before each band of BAND_PIXELS, and may raise to stop.
    """
    size = (enlarged.shape[1], enlarged.shape[0])
    matrix = face.matrix @ _scaling(size[0] / width, size[1] / height)
    left, top, right, bottom = np.clip(_bounds(matrix), 0, size * 2).tolist()
    if left >= right:
        return
    channels = 3 if enlarged.shape[2] >= 3 else 1
    colors = np.clip(restored, -1, 1)
    colors = colors if channels == 3 else colors.mean(axis=2, keepdims=True)
    layer, matrix = _antialiased(np.dstack([colors, _fade()]), matrix)
    most, rows = np.iinfo(enlarged.dtype).max, max(1, BAND_PIXELS // (right - left))
    for start in range(top, bottom, rows):
        check()
        band = enlarged[start : min(start + rows, bottom), left:right, :channels]
        shifted = matrix @ _shift(left, start)
        warped = cv2.warpAffine(layer, shifted[:2], band.shape[1::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        blended = (np.clip(warped[..., :-1], -1, 1) + 1) * np.float32(most / 2) - band
        blended *= np.clip(warped[..., -1:], 0, 1)
        blended += band
        band[...] = np.clip(np.rint(blended), 0, most)


def _scaling(x: float, y: float) -> Floats:
    """(3, 3): from pixels of a picture that was scaled by x and y to those before; pixels are squares, not points."""
    return np.array([(1 / x, 0.0, 0.5 / x - 0.5), (0.0, 1 / y, 0.5 / y - 0.5), (0.0, 0.0, 1.0)])


def _shift(x: int, y: int) -> Floats:
    """(3, 3): from pixels of a part whose left and top are x and y to those of the whole."""
    return np.array([(1.0, 0.0, x), (0.0, 1.0, y), (0.0, 0.0, 1.0)])


def _bounds(matrix: Floats) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the face in a picture whose pixels `matrix` takes to the face's."""
    corners = np.array([[(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)]], np.float64)
    places = cv2.transform(corners, cv2.invertAffineTransform(matrix))[0]
    left, top = np.floor(places.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(places.max(axis=0)).astype(int).tolist()
    return left, top, right + 1, bottom + 1


def _mirrored(start: int, end: int, length: int, margin: int) -> slice:
    """The pixels of an edge of `length` that are seen from `start` to `end`, where the edge is mirrored beyond it."""
    first, last = min(start, 2 * length - end), max(end, -start)
    return slice(max(0, first - margin), min(length, last + margin))


def _antialiased(face: Floats, matrix: Floats) -> tuple[Floats, Floats]:
    """A face shrunk as far as `matrix` (2, 3) does that takes pixels of a picture to its own; (3, 3) to the shrunk."""
    small = resized(face, min(1.0, 1 / float(np.hypot(matrix[0, 0], matrix[1, 0]))))
    ratio = len(small) / SIZE
    return small, np.linalg.inv(_scaling(ratio, ratio)) @ np.vstack([matrix, (0.0, 0.0, 1.0)])


@cache
def _fade() -> Floats:
    """(SIZE, SIZE) float32: 1 in the middle, falling smoothly to 0 at the edges."""
    place = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1]) / np.float32(FADE)
    ramp = np.clip(place, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(ramp[:, None] * ramp, np.float32)
