"""How good the embedded networks are: `python benchmarks/quality.py` prints a table and writes results/quality.json.

PSNR-Y and SSIM-Y against OpenCV's bicubic and Lanczos enlargement, on Set5 and four pictures of Urban100, from clean
small pictures, from the same as JPEG of quality 75, and with light noise. The pictures come from PIXELSERVE_ASSETS
(../shared/assets when unset); none was used in training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import report
import torch
from metrics import Pixels, psnr_y, ssim_y
from torch.nn import functional

from pixelserve.imaging import Image
from pixelserve.models import Upscaler
from pixelserve.settings import Settings

ROOT = Path(__file__).parents[1]
SCALES = (2, 4)
INPUTS = ("clean", "jpeg75", "noise3")
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 75, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
NOISE = 3.0
"""Standard deviation of the light noise, of 255."""

Enlarge = Callable[[Pixels, int], Pixels]
Pair = tuple[Pixels, Pixels]
"""The small picture and the large one it came from, uint8 RGB."""


def main() -> None:
    report.parser(__doc__).parse_args()
    assets = report.assets()
    rows = measure(assets / "testsets" / "sr")
    report.table(rows, ("set", "scale", "input", "method", "psnr_y", "ssim_y"))
    report.write("quality", rows)


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row for each set, scale, kind of input and method: the means over the set."""
    rows, ours = [], embedded()
    for scale in SCALES:
        methods = {**METHODS, "ours": ours}
        for name, pairs in (("Set5", set5(folder, scale)), ("Urban100 (4)", urban100(folder, scale))):
            for kind in INPUTS:
                for method, figures in compare(methods, pairs, scale, kind).items():
                    rows.append({"set": name, "scale": scale, "input": kind, "method": method, **figures})
    return rows


def compare(methods: dict[str, Enlarge], pairs: list[Pair], scale: int, kind: str) -> dict[str, dict[str, float]]:
    """Mean PSNR-Y (dB) and SSIM-Y of each method over the pairs, the small pictures first brought to the kind."""
    worn = [(degraded(small, kind, seed), large) for seed, (small, large) in enumerate(pairs)]
    figures = {}
    for name, enlarge in methods.items():
        results = [(enlarge(small, scale), large) for small, large in worn]
        psnr = float(np.mean([psnr_y(picture, large, scale) for picture, large in results]))
        ssim = float(np.mean([ssim_y(picture, large, scale) for picture, large in results]))
        figures[name] = {"psnr_y": round(psnr, 3), "ssim_y": round(ssim, 4)}
    return figures


def set5(folder: Path, scale: int) -> list[Pair]:
    """The five published pairs."""
    small = sorted((folder / "Set5" / f"image_SRF_{scale}").glob("*_LR.png"))
    return [(read(path), read(path.with_name(path.name.replace("_LR", "_HR")))) for path in small]


def urban100(folder: Path, scale: int) -> list[Pair]:
    """The large pictures cut to multiples of 4, and made small by antialiased bicubic interpolation."""
    pairs = []
    for path in sorted((folder / "Urban100_HR").glob("*_HR.png")):
        large = read(path)
        large = large[: large.shape[0] // 4 * 4, : large.shape[1] // 4 * 4]
        pairs.append((shrink(large, scale), large))
    return pairs


def read(path: Path) -> Pixels:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def shrink(picture: Pixels, scale: int) -> Pixels:
    """(H, W, 3) uint8 -> (H/scale, W/scale, 3) uint8 as MATLAB's imresize does it."""
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    size = (picture.shape[0] // scale, picture.shape[1] // scale)
    small = functional.interpolate(planes, size, mode="bicubic", antialias=True)
    return small.round().clamp(0, 255)[0].permute(1, 2, 0).byte().numpy()


def degraded(picture: Pixels, kind: str, seed: int) -> Pixels:
    """The small picture as it is ("clean"), as JPEG of quality 75 and 4:2:0, or with noise of deviation NOISE."""
    if kind == "jpeg75":
        _, code = cv2.imencode(".jpg", picture[..., ::-1], JPEG)
        return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].copy()
    if kind == "noise3":
        noise = np.random.default_rng(seed).normal(0, NOISE, picture.shape)
        return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    return picture


def bicubic(picture: Pixels, scale: int) -> Pixels:
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def lanczos(picture: Pixels, scale: int) -> Pixels:
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)


METHODS: dict[str, Enlarge] = {"bicubic": bicubic, "lanczos": lanczos}


def embedded() -> Enlarge:
    """What is served without weights of one's own, in float32."""
    upscaler = Upscaler.load("", Settings(runtime="torch", dtype="float32"))
    return lambda picture, scale: upscaler.upscale(Image(picture), scale).pixels


if __name__ == "__main__":
    main()
