"""Super-resolution of whole pictures: which network for which factor, in tiles, with alpha, grey and 16 bit kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from pixelserve.errors import BadRequest
from pixelserve.imaging import (
    SMALLEST_TILE,
    Image,
    Pixels,
    Plan,
    Progress,
    Tiles,
    plan_output,
    read_pixels,
    resize,
    run_tiled,
)
from pixelserve.models.devices import is_out_of_memory, pick_device
from pixelserve.models.faces import WEIGHTS, Face, FaceRestorer, find_files
from pixelserve.models.folders import find_networks
from pixelserve.models.gfpgan import SIZE
from pixelserve.models.networks import SUFFIXES
from pixelserve.models.pace import Pace, TimedPass, warm_up
from pixelserve.models.passes import Loaded, Pass, make_passes
from pixelserve.models.runtimes import EXACT, WIDTH_MULTIPLE, Choice
from pixelserve.models.tuning import affordable_tile
from pixelserve.observe import EMBEDDED, announce
from pixelserve.schema import Target
from pixelserve.settings import Settings

EMBEDDED_FILES = [Path(__file__).parent / "embedded" / f"sr_x{scale}.safetensors" for scale in (2, 4)]


class Upscaler:
    """Enlarges pictures by 2 and 4. Called from one thread; only the speed that was seen changes after `warm_up`."""

    def __init__(self, passes: dict[int, Pass], settings: Settings, restorer: FaceRestorer | None = None) -> None:
        self._settings = settings
        self._passes = passes
        self._restorer = restorer
        self._timed = {
            factor: TimedPass(one, _cut_tiles(one, one.choice.dtype, settings), _cut_tiles(one, EXACT.dtype, settings))
            for factor, one in passes.items()
        }

    @classmethod
    def load(cls, model_dir: str, settings: Settings) -> Upscaler:
        """The networks of the files in `model_dir`, the embedded ones when it has no files.

        A factor without a network of its own is served by another's. Files for faces may lie beside. Raises
        CheckpointError for what does not fit.
        """
        device, for_faces = pick_device(settings.device), find_files(model_dir)
        paths = find_networks(model_dir, SUFFIXES, for_faces)
        loaded = [Loaded.from_file(path, device, settings) for path in paths or EMBEDDED_FILES]
        if not paths:
            loaded = [replace(one, file=EMBEDDED) for one in loaded]
        passes = make_passes(loaded)
        for one in loaded:
            announce(one.described())
        return cls(passes, settings, FaceRestorer.load(for_faces, settings))

    def warm_up(self) -> None:
        """Times the restorer of faces and each factor for 8 bits; 16 are rare, and timed at the first such picture.

        Raises CheckpointError where a restored face is NaN or infinity.
        """
        faces = [self._restorer.pace] if self._restorer else []
        warm_up([*faces, *(one.pace(np.uint8) for one in self._timed.values())])

    def network(self, scale: int) -> nn.Module:
        """The module that enlarges by `scale` (2 or 4), float32 on its device to float32, by whatever runs it."""
        return self._passes[scale].network

    def choice(self, scale: int) -> Choice:
        """What runs it."""
        return self._passes[scale].choice

    def describe(self, image: Image, plan: Plan) -> str:
        """A plan as custom attributes: the answer's size, the network's scale, what is done beside it, what runs it."""
        about = "network=x1"
        if plan.factor in self._passes:
            one = self._passes[plan.factor]
            about = one.about if image.pixels.dtype == np.uint8 else one.about_exact
        return f"width={plan.width};height={plan.height};{about}"

    def plan(self, image: Image, scale: int = 2, target: Target | None = None) -> Plan:
        """How `image` will be enlarged by `scale` (2 or 4) or to `target`; raises OutputTooLarge."""
        return plan_output(image.width, image.height, scale, target, self._settings)

    def find_faces(self, image: Image) -> list[Face]:
        """The faces that `upscale` can restore, the largest first. Raises BadRequest without weights for that."""
        if self._restorer is None:
            raise BadRequest(
                f"face is true, but no weights for faces are served. `pixelserve weights fetch {WEIGHTS}` has them; "
                f"serve them with `--weights {WEIGHTS}`, or put both files beside those of your network.",
                param="face",
            )
        return self._restorer.find(image)

    def seconds(self, image: Image, plan: Plan, faces: Sequence[Face] = ()) -> float:
        """The time `upscale` will take, tiles' overlaps included, from the speed seen so far.

        Before that is said to be more than a request may take, the speed is timed again: a machine that was busy at the
        start would refuse for ever.
        """
        work = self._work(image, plan, faces)
        if _predict(work) > self._settings.timeout:
            for pace, tiles in work:
                pace.time_again(max(tiles))
        return _predict(work)

    def _work(self, image: Image, plan: Plan, faces: Sequence[Face]) -> list[tuple[Pace, list[int]]]:
        """The pixels of each tile that `upscale` will give to networks, and their paces."""
        work = []
        if faces and self._restorer:
            work.append((self._restorer.pace, [SIZE**2] * len(faces)))
        if plan.factor in self._timed:
            timed, kind = self._timed[plan.factor], image.pixels.dtype
            pictures = 2 if image.has_alpha and not _is_opaque(image) else 1
            tiles = read_pixels(image.height, image.width, timed.tiles(kind))
            work.append((timed.pace(kind), [pictures * pixels for pixels in tiles]))
        return work

    def upscale(
        self,
        image: Image,
        scale: int = 2,
        target: Target | None = None,
        progress: Progress | None = None,
        faces: Sequence[Face] = (),
    ) -> Image:
        """The picture enlarged as `plan` says, `faces` of it restored; channels, depth and profile are kept.

        `progress` is called with input pixels done and their total, and may raise to stop. Raises OutputTooLarge before
        any computing.
        """
        plan = self.plan(image, scale, target)
        if plan.factor == 1 and not faces:
            return image
        if _is_opaque(image):
            colors = self.upscale(Image(image.pixels[..., :-1], image.icc), scale, target, progress, faces).pixels
            opaque = np.full_like(colors[..., :1], np.iinfo(colors.dtype).max)
            return Image(np.concatenate([colors, opaque], axis=2), image.icc)
        filled = fill_transparent(image.pixels)
        pixels = self._enlarged(filled, plan, progress)
        if faces and self._restorer is not None:
            area = image.width * image.height
            self._restorer.lay_over(pixels, filled, faces, lambda: progress and progress(area, area))
        return Image(pixels, image.icc)

    def _enlarged(self, pixels: Pixels, plan: Plan, progress: Progress | None) -> Pixels:
        """A new picture of the plan's size."""
        if plan.factor == 1:
            return pixels.copy()
        timed = self._timed[plan.factor]
        enlarged = run_tiled(timed, pixels, timed.tiles(pixels.dtype), progress, is_out_of_memory)
        return resize(enlarged, plan.width, plan.height)


def _predict(work: Sequence[tuple[Pace, list[int]]]) -> float:
    return sum(pace.seconds(pixels) for pace, tiles in work for pixels in tiles)


def _cut_tiles(one: Pass, dtype: str, settings: Settings) -> Tiles:
    """Those of a pass in a number type.

    The same until the process ends, whatever memory is free, as pictures in other tiles may give other bytes.
    """
    info, workers = one.info, max(1, settings.workers)
    tile = settings.tile or min(one.tile, affordable_tile(info, one.device, dtype, workers))
    return Tiles(
        info.scale, max(SMALLEST_TILE, tile), info.overlap, info.feathered, info.multiple, one.border, WIDTH_MULTIPLE
    )


def _is_opaque(image: Image) -> bool:
    """Whether there is an alpha that hides nothing."""
    return image.has_alpha and bool(image.pixels[..., -1].min() == np.iinfo(image.pixels.dtype).max)


def fill_transparent(pixels: Pixels) -> Pixels:
    """Gives wholly transparent pixels the colour of the nearest visible one, so that it cannot bleed; alpha stays."""
    if pixels.shape[2] in (1, 3):
        return pixels
    hidden = pixels[..., -1] == 0
    if not hidden.any() or hidden.all():
        return pixels
    _, labels = cv2.distanceTransformWithLabels(hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros(labels.max() + 1, np.int64)
    visible = np.flatnonzero(~hidden)
    nearest[labels.ravel()[visible]] = visible
    filled = pixels.copy()
    colors = pixels[..., :-1].reshape(-1, pixels.shape[2] - 1)
    filled[..., :-1] = colors[nearest[labels]]
    return filled
