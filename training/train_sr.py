"""Trains the embedded super-resolution network of one scale: `python training/train_sr.py --scale 2 --out FILE`.

L1 against pictures of `procedural`, kernels by Muon and the rest by Adam, weights averaged. One thread and one seed: on
the same kind of processor with the same torch the same command gives the same bytes. See README.md beside this file for
the recipe and the figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from procedural import image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from pixelserve.models.srvgg import SRVGGNetCompact

FEATURES, CONVOLUTIONS = 32, 8
PATCH, BATCH = 40, 8
RATE, WARM_UP, EMA = 2e-3, 200, 0.999
WORN = 0.05
"""Share of the patches whose small side is worn as real inputs are. More of them cost clean inputs their sharpness."""
MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration that brings singular values to about 1, from Muon's published code."""

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Data:
    """All pictures: `large` (N, S, S, 3), `small` and `worn` (N, S/scale, S/scale, 3), uint8."""

    large: NDArray[np.uint8]
    small: NDArray[np.uint8]
    worn: NDArray[np.uint8]


def make_data(seed: int, count: int, scale: int) -> Data:
    """Draws `count` pictures and their small sides: antialiased bicubic, rounded; once clean, once worn."""
    large = np.stack([image(seed * 1_000_000 + number) for number in range(count)])
    rng = np.random.default_rng(seed)
    small = np.stack([shrink(picture, scale) for picture in large])
    return Data(large, small, np.stack([wear(rng, picture) for picture in small]))


def shrink(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (H/scale, W/scale, 3) uint8 by antialiased bicubic interpolation."""
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    size = (picture.shape[0] // scale, picture.shape[1] // scale)
    small = functional.interpolate(tensor, size, mode="bicubic", antialias=True, align_corners=False)
    result: NDArray[np.uint8] = small.round().clamp(0, 255)[0].permute(1, 2, 0).byte().numpy()
    return result


def wear(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Noise (deviation 2 to 4), or JPEG (quality 60 to 87): marks that a network can tell from a clean picture's."""
    if rng.random() < 0.4:
        noisy = picture + rng.normal(0, rng.uniform(2, 4), picture.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 88))]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], quality)
    return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])


def batch(rng: np.random.Generator, data: Data, scale: int) -> tuple[Tensor, Tensor]:
    """BATCH patches, turned and mirrored: (N, 3, PATCH, PATCH) and (N, 3, PATCH*scale, PATCH*scale), in [0, 1]."""
    edge = data.small.shape[1] - PATCH
    inputs, targets = [], []
    for _ in range(BATCH):
        number, y, x, turn = (int(v) for v in rng.integers(0, (len(data.large), edge + 1, edge + 1, 8)))
        source = data.worn if rng.random() < WORN else data.small
        low = source[number, y : y + PATCH, x : x + PATCH]
        high = data.large[number, y * scale : (y + PATCH) * scale, x * scale : (x + PATCH) * scale]
        inputs.append(_turned(low, turn))
        targets.append(_turned(high, turn))
    return _tensor(inputs), _tensor(targets)


def _turned(patch: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    turned = np.rot90(patch, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned


def _tensor(patches: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255


def make_network(scale: int) -> SRVGGNetCompact:
    """A new network whose inner convolutions begin near the identity: so a plain stack learns fast (SESR, 2022)."""
    network = SRVGGNetCompact(num_feat=FEATURES, num_conv=CONVOLUTIONS, upscale=scale)
    convolutions = [layer for layer in network.body if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer in convolutions[1:-1]:
            layer.weight.mul_(0.5)
            layer.weight[:, :, 1, 1] += torch.eye(FEATURES)
            layer.bias.zero_()
        convolutions[-1].weight.mul_(0.1)
        convolutions[-1].bias.zero_()
    return network.to(memory_format=torch.channels_last)


def rate_at(step: int, steps: int) -> float:
    """Learning rate: linear warm-up, then a cosine to zero."""
    if step < WARM_UP:
        return RATE * (step + 1) / WARM_UP
    return RATE * 0.5 * (1 + float(np.cos(np.pi * (step - WARM_UP) / max(1, steps - WARM_UP))))


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonal updates, so that all directions learn (Jordan et al., 2024).

    For kernels (O, I, H, W), taken as matrices (O, I*H*W). A step is about as long as Adam's at the same rate.
    """

    def __init__(self, kernels: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(kernels, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for kernel in group["params"]:
                momentum = self.state[kernel].setdefault("momentum", torch.zeros_like(kernel))
                momentum.lerp_(kernel.grad, 1 - MOMENTUM)
                update = orthogonal(kernel.grad.lerp(momentum, MOMENTUM).flatten(1))
                kernel.sub_(update.view_as(kernel), alpha=0.2 * max(update.shape) ** 0.5 * group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (rows, columns) with its singular vectors kept and its singular values brought to about 1."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-9)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


def learn(network: SRVGGNetCompact, data: Data, seed: int, steps: int) -> tuple[Weights, list[float]]:
    """Minimises L1 for `steps`: the averaged weights, and the mean loss of each reported stretch."""
    rng = np.random.default_rng(seed + 1)
    muon = Muon([value for value in network.parameters() if value.ndim == 4], lr=RATE)
    adam = torch.optim.Adam([value for value in network.parameters() if value.ndim < 4], lr=RATE, betas=(0.9, 0.99))
    average = {name: value.clone() for name, value in network.state_dict().items()}
    stretch = max(1, min(500, steps // 10))
    losses: list[float] = []
    recent, started = 0.0, time.monotonic()
    for step in range(steps):
        low, high = batch(rng, data, network.upscale)
        loss = functional.l1_loss(network(low.contiguous(memory_format=torch.channels_last)), high)
        network.zero_grad()
        loss.backward()
        for optimizer in (muon, adam):
            optimizer.param_groups[0]["lr"] = rate_at(step, steps)
            optimizer.step()
        keep = min(EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        recent += loss.item()
        if (step + 1) % stretch == 0:
            losses.append(round(recent / stretch, 6))
            recent = 0.0
            print(f"step {step + 1}/{steps} l1 {losses[-1]:.5f} {time.monotonic() - started:.0f} s", flush=True)
    return {name: value.contiguous() for name, value in average.items()}, losses


def train(scale: int, seed: int, steps: int, images: int) -> tuple[Weights, dict[str, object]]:
    """The final weights (float32, BasicSR's names) and the log: losses, seconds, machine."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    started = time.monotonic()
    data = make_data(seed, images, scale)
    print(f"x{scale}: {images} pictures in {time.monotonic() - started:.0f} s", flush=True)
    weights, losses = learn(make_network(scale), data, seed, steps)
    log: dict[str, object] = {
        "scale": scale,
        "seed": seed,
        "images": images,
        "parameters": sum(value.numel() for value in weights.values()),
        "steps": steps,
        "l1": losses,
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    return weights, log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, choices=(2, 4), required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--log", type=Path, help="a JSON file for the losses and the time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=24_000)
    parser.add_argument("--images", type=int, default=2_000)
    arguments = parser.parse_args()
    weights, log = train(arguments.scale, arguments.seed, arguments.steps, arguments.images)
    save_file(weights, arguments.out)
    if arguments.log:
        arguments.log.write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
