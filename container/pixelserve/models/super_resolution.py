"""Super-resolution of whole pictures: which network for which factor, in tiles, with alpha, grey and 16 bit kept."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.errors import CheckpointError
from pixelserve.imaging import Image, Pixels, Plan, Progress, Tiles, plan_output, resize, run_tiled
from pixelserve.models.checkpoints import SUFFIXES, NetworkInfo, load_network
from pixelserve.models.devices import free_memory, is_out_of_memory, pick_device, pick_dtype
from pixelserve.schema import Target
from pixelserve.settings import Settings

EMBEDDED = ("sr_x2.safetensors", "sr_x4.safetensors")
FACTORS = (2, 4)

LARGEST_TILE = 512
FARTHEST_REACH = 64
"""Up to this reach tiles overlap by all of it and are exact; beyond it they overlap by FEATHER and fade."""
FEATHER = 32
PROBE_EDGE = 96


@dataclass(frozen=True)
class _Pass:
    """One network made to enlarge by `info.scale`; `exact` is the same in float32, for 16-bit pictures."""

    network: nn.Module
    exact: nn.Module
    info: NetworkInfo
    device: torch.device
    dtype: torch.dtype

    def __call__(self, tile: Pixels) -> Pixels:
        """A tile (h, w, C) uint8 or uint16 to (h * scale, w * scale, C); grey and alpha go through as grey pictures."""
        most = float(np.iinfo(tile.dtype).max)
        small = tile.dtype == np.uint8
        network, dtype = (self.network, self.dtype) if small else (self.exact, torch.float32)
        samples = torch.from_numpy(tile if small else tile.astype(np.int32)).to(self.device)
        planes = _as_rgb((samples.permute(2, 0, 1).float() / most).to(dtype))
        with torch.inference_mode():
            enlarged = network(_padded(planes.contiguous(memory_format=torch.channels_last), self.info.multiple))
            height, width = tile.shape[0] * self.info.scale, tile.shape[1] * self.info.scale
            joined = _from_rgb(enlarged[..., :height, :width], tile.shape[2])
            whole = joined.float().mul_(most).add_(0.5).clamp_(0, most).permute(1, 2, 0)
            if small:
                return whole.to(torch.uint8).cpu().numpy()
            return whole.to(torch.int32).cpu().numpy().astype(np.uint16)


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


def _padded(pictures: Tensor, multiple: int) -> Tensor:
    """Edges repeated on the right and below up to a multiple."""
    height, width = pictures.shape[-2:]
    return functional.pad(pictures, (0, -width % multiple, 0, -height % multiple), mode="replicate")


class _Halved(nn.Module):
    """A network of twice the scale, its result averaged down: antialiased, and the same in any tile."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.network(x), 2)


class Upscaler:
    """Enlarges pictures by 2 and 4. `upscale` is called from one thread; nothing changes after `warm_up`."""

    def __init__(self, networks: dict[int, tuple[nn.Module, NetworkInfo]], settings: Settings) -> None:
        self._settings = settings
        device = pick_device()
        loaded = {scale: _Loaded.on(device, *network, settings.dtype) for scale, network in networks.items()}
        self._passes = {factor: _make_pass(factor, loaded, device) for factor in FACTORS}
        self._seconds_per_pixel: dict[int, float] = {}

    @classmethod
    def load(cls, model_dir: str, settings: Settings) -> Upscaler:
        """Networks from the .pth and .safetensors files in `model_dir`, else the embedded ones.

        A factor without a network of its own is served by the other's. Raises CheckpointError for what does not fit.
        """
        folder = Path(model_dir)
        paths = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES) if folder.is_dir() else []
        if not paths:
            paths = [Path(__file__).parent / "embedded" / name for name in EMBEDDED]
        return cls(_load_all(paths), settings)

    def warm_up(self) -> None:
        """Runs each factor once and notes its speed."""
        for factor, one in self._passes.items():
            tile = np.zeros((PROBE_EDGE, PROBE_EDGE, 3), np.uint8)
            one(tile)
            started = time.perf_counter()
            one(tile)
            self._seconds_per_pixel[factor] = (time.perf_counter() - started) / PROBE_EDGE**2

    def network(self, scale: int) -> nn.Module:
        """The module that enlarges by `scale` (2 or 4), on its device and in its number type."""
        return self._passes[scale].network

    def plan(self, image: Image, scale: int = 2, target: Target | None = None) -> Plan:
        """How `image` will be enlarged by `scale` (2 or 4) or to `target`; raises OutputTooLarge."""
        return plan_output(image.width, image.height, scale, target, self._settings)

    def seconds(self, image: Image, plan: Plan) -> float:
        """The time `upscale` will take, from the speed seen in `warm_up`."""
        pictures = 2 if image.has_alpha and not _is_opaque(image) else 1
        return self._seconds_per_pixel.get(plan.factor, 0.0) * image.width * image.height * pictures

    def upscale(
        self, image: Image, scale: int = 2, target: Target | None = None, progress: Progress | None = None
    ) -> Image:
        """The picture enlarged as `plan` says; channels, depth and profile are kept.

        `progress` is called with input pixels done and their total, and may raise to stop. Raises OutputTooLarge before
        any computing.
        """
        plan = self.plan(image, scale, target)
        if plan.factor == 1:
            return image
        if _is_opaque(image):
            colors = self.upscale(Image(image.pixels[..., :-1], image.icc), scale, target, progress).pixels
            opaque = np.full_like(colors[..., :1], np.iinfo(colors.dtype).max)
            return Image(np.concatenate([colors, opaque], axis=2), image.icc)
        one = self._passes[plan.factor]
        pixels = run_tiled(one, fill_transparent(image.pixels), self._tiles(one), progress, is_out_of_memory)
        return Image(resize(pixels, plan.width, plan.height), image.icc)

    def _tiles(self, one: _Pass) -> Tiles:
        feathered = one.info.reach > FARTHEST_REACH
        overlap = FEATHER if feathered else one.info.reach
        affordable = math.isqrt(free_memory(one.device) // 4 // one.info.bytes_per_pixel)
        tile = self._settings.tile or min(LARGEST_TILE, affordable - 2 * overlap)
        return Tiles(one.info.scale, max(32, tile), overlap, feathered, one.info.multiple)


def _is_opaque(image: Image) -> bool:
    """Whether there is an alpha that hides nothing."""
    return image.has_alpha and bool(image.pixels[..., -1].min() == np.iinfo(image.pixels.dtype).max)


def _load_all(paths: list[Path]) -> dict[int, tuple[nn.Module, NetworkInfo]]:
    networks: dict[int, tuple[nn.Module, NetworkInfo]] = {}
    for path in paths:
        network, info = load_network(path)
        if info.scale not in FACTORS:
            raise CheckpointError(f"{path.name} enlarges {info.scale} times; 2 and 4 are served.")
        if info.scale in networks:
            raise CheckpointError(f"{path.name} is a second network for scale {info.scale}. Leave one in the folder.")
        networks[info.scale] = network, info
    return networks


@dataclass(frozen=True)
class _Loaded:
    """A network on its device: in `dtype`, and in float32 (the same module where that is the type)."""

    network: nn.Module
    exact: nn.Module
    info: NetworkInfo
    dtype: torch.dtype

    @classmethod
    def on(cls, device: torch.device, network: nn.Module, info: NetworkInfo, asked: str) -> _Loaded:
        exact = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ramp = torch.linspace(0, 1, PROBE_EDGE, device=device)
        probe = (ramp[:, None] * ramp).expand(1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        dtype = pick_dtype(exact, probe, asked)
        return cls(exact if dtype == torch.float32 else copy.deepcopy(exact).to(dtype), exact, info, dtype)


def _make_pass(factor: int, loaded: dict[int, _Loaded], device: torch.device) -> _Pass:
    """The pass for a factor: its own network, the x4 one averaged down for 2, or the x2 one run twice for 4."""
    if factor in loaded:
        own = loaded[factor]
        return _Pass(own.network, own.exact, own.info, device, own.dtype)
    other = loaded[6 - factor]
    given = other.info
    if factor == 2:
        info = NetworkInfo(given.architecture, 2, given.reach + 1, given.multiple, given.bytes_per_pixel)
        return _Pass(_Halved(other.network), _Halved(other.exact), info, device, other.dtype)
    reach = given.reach + math.ceil(given.reach / 2)
    info = NetworkInfo(given.architecture, 4, reach, given.multiple, 4 * given.bytes_per_pixel)
    twice, exact_twice = nn.Sequential(other.network, other.network), nn.Sequential(other.exact, other.exact)
    return _Pass(twice, exact_twice, info, device, other.dtype)


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
