"""Networks made to enlarge by 2 and by 4, whatever scale they have, and run on one tile of 8 or 16 bits."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Pixels
from pixelserve.models.devices import name_device
from pixelserve.models.networks import NetworkInfo, load_network
from pixelserve.models.runtimes import EXACT, Choice, choose, natural_probe
from pixelserve.models.tuning import read_tuning
from pixelserve.models.tuning_files import TILES
from pixelserve.observe import ServedNetwork
from pixelserve.settings import Settings

logger = logging.getLogger("pixelserve.models")

CHOICE = {2: (2, 4, 3, 1), 4: (4, 2, 3, 1)}
"""Scales of the networks that serve a factor, the best first: its own, averaged or run twice, resampled."""
SCALES = (1, 2, 3, 4)
BORDER = 8
"""Pixels of the picture's edge that a network is shown repeated. Flat pictures then stay flat, by networks that see
farther to 3 levels of 255; as many as they see would make that 0, and cost 40 % more on small pictures. A multiple of
all `NetworkInfo.multiple`."""
RESAMPLING_REACH = 3
"""Input pixels on each side that bicubic resampling of a result adds to a network's reach."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network on its device: as `choice` runs it, and in float32 (the same module where that is the choice)."""

    file: str
    network: nn.Module
    exact: nn.Module
    info: NetworkInfo
    device: torch.device
    choice: Choice
    tile: int
    note: str = ""
    """Why it does not run as was tuned."""

    @classmethod
    def from_file(cls, path: Path, device: torch.device, settings: Settings) -> Loaded:
        """A file's network, run as the settings say, as was tuned, or by the table of `runtimes`.

        Raises CheckpointError for files that do not fit, scales that are not served, and what gives NaN or infinity.
        """
        network, info = load_network(path)
        if info.scale not in SCALES:
            served = ", ".join(map(str, SCALES))
            raise CheckpointError(f"{path.name} enlarges {info.scale} times; networks of scale {served} are served.")
        exact = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        tuned = read_tuning(path) if device.type == "cpu" else None
        hint = Choice(tuned.runtime, tuned.dtype) if tuned else None
        probe = natural_probe().to(device)
        running = choose(exact, device, settings.runtime, settings.dtype, hint)
        choice = running.choice
        if running.note:
            logger.warning("%s runs by %s in %s, %s.", path.name, choice.runtime, choice.dtype, running.note)
        with torch.inference_mode():
            if not running.network(probe).isfinite().all():
                is_float32 = choice.dtype == EXACT.dtype
                remedy = "Its weights are damaged." if is_float32 else "Try PIXELSERVE_DTYPE=float32."
                raise CheckpointError(f"{path.name} gives NaN or infinity for a picture in {choice.dtype}. {remedy}")
        tile = (tuned and tuned.tile) or TILES[info.architecture]
        return cls(path.name, running.network, exact, info, device, choice, tile, running.note)

    def described(self) -> ServedNetwork:
        """What serves pictures of 8 bits."""
        return self._described(self.choice, f" ({self.note})" if self.note else "")

    def _described(self, choice: Choice, note: str = "") -> ServedNetwork:
        runtime = f"{choice.runtime}, {name_device(self.device)}{note}"
        return ServedNetwork(self.file, self.info.architecture, str(self.info.scale), runtime, choice.dtype)

    def adapted(
        self, adapt: Callable[[nn.Module], nn.Module], info: NetworkInfo, note: str = "", border: int = BORDER
    ) -> Pass:
        """The network as `adapt` makes it one of another scale; `note` says what that is."""
        exact = adapt(self.exact)
        network = exact if self.network is self.exact else adapt(self.network)
        small, large = (
            f"network=x{self.info.scale}{note};{served.attributes}"
            for served in (self.described(), self._described(EXACT))
        )
        return Pass(network, exact, info, self.device, self.choice, small, large, self.tile, border)


@dataclass(frozen=True)
class Pass:
    """A network made to enlarge by `info.scale`; `exact` is the same in float32, for 16-bit pictures.

    `about` and `about_exact` say in custom attributes which network that is, what is done to it, and what runs it.
    `tile` is the edge of the largest tiles.
    """

    network: nn.Module
    exact: nn.Module
    info: NetworkInfo
    device: torch.device
    choice: Choice
    about: str
    about_exact: str
    tile: int
    border: int = BORDER

    def __call__(self, tile: Pixels) -> Pixels:
        """A tile (h, w, C) uint8 or uint16 to (h * scale, w * scale, C); grey and alpha go through as grey pictures."""
        most = float(np.iinfo(tile.dtype).max)
        small = tile.dtype == np.uint8
        network = self.network if small else self.exact
        samples = torch.from_numpy(tile if small else tile.astype(np.int32)).to(self.device)
        planes = _as_rgb(samples.permute(2, 0, 1).float() / most)
        with torch.inference_mode():
            enlarged = network(_padded(planes.contiguous(memory_format=torch.channels_last), self.info.multiple))
            height, width = tile.shape[0] * self.info.scale, tile.shape[1] * self.info.scale
            joined = _from_rgb(enlarged[..., :height, :width], tile.shape[2])
            whole = joined.mul_(most).add_(0.5).clamp_(0, most)
            samples = (whole.to(torch.uint8) if small else whole.to(torch.int32)).cpu()
        result = _interleaved(samples.numpy().astype(tile.dtype, copy=False))
        if tile.shape[2] in (2, 4):
            _keep_plain_alpha(result[..., -1], tile[..., -1], self.info.scale)
        return result


def make_passes(loaded: Sequence[Loaded]) -> dict[int, Pass]:
    """The pass of each factor. Raises CheckpointError for a network that none of them uses."""
    chosen = {factor: min(loaded, key=lambda one: scales.index(one.info.scale)) for factor, scales in CHOICE.items()}
    for one in loaded:
        if one not in chosen.values():
            raise CheckpointError(
                f"{one.file}, which enlarges {one.info.scale} times, would not be used beside {chosen[2].file}. "
                "Leave one of them."
            )
    return {factor: _make_pass(factor, one) for factor, one in chosen.items()}


def _make_pass(factor: int, loaded: Loaded) -> Pass:
    given = loaded.info
    if given.scale == factor:
        return loaded.adapted(lambda network: network, given)
    if (given.scale, factor) == (2, 4):
        reach = given.reach + math.ceil(given.reach / 2)
        info = replace(
            given, scale=4, reach=reach, fixed_bytes=4 * given.fixed_bytes, typed_bytes=4 * given.typed_bytes
        )
        return loaded.adapted(lambda network: nn.Sequential(network, network), info, ";runs=2", BORDER + BORDER // 2)
    fixed = given.fixed_bytes + 4 * 3 * factor**2
    info = replace(given, scale=factor, reach=given.reach + RESAMPLING_REACH, fixed_bytes=fixed)
    resampled = _Halved if given.scale == 2 * factor else partial(_Resampled, factor=factor)
    return loaded.adapted(resampled, info, f";resampled=x{factor}")


class _Halved(nn.Module):
    """A network of twice the scale, its result averaged down: antialiased, and the same in any tile."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.network(x), 2)


class _Resampled(nn.Module):
    """A network of another scale, its result brought to the size of `factor` by antialiased bicubic interpolation."""

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[-2] * self.factor, x.shape[-1] * self.factor)
        return functional.interpolate(self.network(x), size, mode="bicubic", antialias=True)


def _as_rgb(planes: Tensor) -> Tensor:
    """(C, h, w) as RGB pictures (N, 3, h, w): colour or grey first, then alpha."""
    if planes.shape[0] == 3:
        return planes[None]
    colors = planes[:3] if planes.shape[0] == 4 else planes[:1].expand(3, -1, -1)
    if planes.shape[0] == 1:
        return colors[None]
    return torch.stack([colors, planes[-1:].expand(3, -1, -1)])


def _from_rgb(pictures: Tensor, channels: int) -> Tensor:
    """The reverse of `_as_rgb`: (N, 3, h, w) to (C, h, w)."""
    colors = pictures[0] if channels >= 3 else pictures[0].mean(0, keepdim=True)
    if channels in (1, 3):
        return colors
    return torch.cat([colors, pictures[1].mean(0, keepdim=True)])


def _interleaved(planes: Pixels) -> Pixels:
    """(C, h, w) as (h, w, C) in one piece, by OpenCV, which takes less time for that than torch or NumPy."""
    pixels = planes.transpose(1, 2, 0)
    return pixels if pixels.flags.c_contiguous else cv2.merge(list(planes)).reshape(pixels.shape)


def _padded(pictures: Tensor, multiple: int) -> Tensor:
    """Edges repeated on the right and below up to a multiple."""
    height, width = pictures.shape[-2:]
    return functional.pad(pictures, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _keep_plain_alpha(enlarged: Pixels, alpha: Pixels, scale: int) -> None:
    """Makes alpha again all or nothing where a pixel (h, w) and its neighbours are: networks miss both by a little."""
    neighbours = np.ones((3, 3), np.uint8)
    most = np.iinfo(alpha.dtype).max
    alpha = np.ascontiguousarray(alpha)
    for plain, value in ((cv2.erode(alpha, neighbours) == most, most), (cv2.dilate(alpha, neighbours) == 0, 0)):
        enlarged[plain.repeat(scale, axis=0).repeat(scale, axis=1)] = value
