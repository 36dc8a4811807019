"""Cosines of copies and of other pictures: the PDQ set's edits of one photograph, generated re-shots, negatives.

The embedded default beside a MobileNet backbone (512 pooled features), both as served. Needs the assets.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import report
from numpy.typing import NDArray
from segmentation import LONGEST_EDGE, read

from pixelserve.imaging import Image
from pixelserve.models.similarity import Embedder, cosine
from pixelserve.settings import Settings

Rgb = NDArray[Any]
BACKBONE = "mobilenet_v1_0.5_160_quant.tflite"


def jpeg(rgb: Rgb) -> Rgb:
    """Encoded at quality 30 and read again."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR))


def cropped(rgb: Rgb, share: float) -> Rgb:
    """The middle of the picture, `share` of each edge."""
    height, width = (round(edge * share) for edge in rgb.shape[:2])
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return rgb[top : top + height, left : left + width]


def reshot(rgb: Rgb, seed: int = 3) -> Rgb:
    """As photographed from a screen: perspective, moiré, exposure, blur, noise, JPEG."""
    rng = np.random.default_rng(seed)
    height, width = rgb.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + rng.uniform(-0.06, 0.06, (4, 2)) * [width, height]
    warp = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    seen = cv2.warpPerspective(rgb, warp, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    yy, xx = np.mgrid[:height, :width]
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(0.25, 0.45)
    grid = np.sin(2 * np.pi * frequency * (xx * np.cos(angle) + yy * np.sin(angle)))
    seen *= (1 + rng.uniform(0.03, 0.08) * grid)[..., None] * rng.uniform(0.75, 1.2)
    seen = cv2.GaussianBlur(seen + 8, (0, 0), rng.uniform(0.8, 1.6)) + rng.normal(0, 4, rgb.shape)
    return jpeg(np.clip(seen, 0, 255).astype(np.uint8))


COPIES: dict[str, Callable[[Rgb], Rgb]] = {
    "JPEG 30": jpeg,
    "half the size": lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "80 % of each edge": lambda rgb: cropped(rgb, 0.8),
    "brighter": lambda rgb: np.clip(rgb * 1.2 + 10, 0, 255).astype(np.uint8),
    "grey": lambda rgb: np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
    "turned by 90": lambda rgb: np.rot90(rgb),
    "shot again": reshot,
}
FARTHER: dict[str, Callable[[Rgb], Rgb]] = {
    "60 % of each edge": lambda rgb: cropped(rgb, 0.6),
    "mirrored": lambda rgb: rgb[:, ::-1],
}


def vector(embedder: Embedder, rgb: Rgb) -> NDArray[Any]:
    return embedder.vector(Image(np.ascontiguousarray(rgb)))


def different(assets: Path) -> list[Rgb]:
    """Photographs of different things."""
    folder = assets / "testsets"
    paths = [
        folder / "similarity_pdq" / "bridge-mods__aaa-orig.jpg",
        *(folder / "sr" / "Urban100_HR").glob("*.png"),
        *(folder / "humanseg" / "img").glob("*.jpg"),
        *(folder / "similarity_pdq").glob("*labelme*"),
    ]
    pictures = []
    for path in sorted(paths):
        rgb = read(path)
        ratio = min(1.0, LONGEST_EDGE / max(rgb.shape))
        pictures.append(cv2.resize(rgb, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA))
    return pictures


def measure(embedder: Embedder, assets: Path) -> list[dict[str, Any]]:
    """A row for each PDQ edit, each kind of copy over all photographs, and the negatives."""
    folder = assets / "testsets" / "similarity_pdq"
    original = vector(embedder, read(folder / "bridge-mods__aaa-orig.jpg"))
    rows: list[dict[str, Any]] = []
    for path in [*sorted(folder.glob("bridge-mods__*")), *sorted(folder.glob("*dih__bridge*"))]:
        name = path.stem.rpartition("__")[2]
        rows.append({"pair": f"PDQ {name}", "mean": round(cosine(original, vector(embedder, read(path))), 4)})
    pictures = different(assets)
    vectors, seconds = [], []
    for rgb in pictures:
        started = time.perf_counter()
        vectors.append(vector(embedder, rgb))
        seconds.append(time.perf_counter() - started)
    negatives = [cosine(first, second) for first, second in itertools.combinations(vectors, 2)]
    for name, copy in (COPIES | FARTHER).items():
        found = [cosine(one, vector(embedder, copy(rgb))) for one, rgb in zip(vectors, pictures, strict=True)]
        rows.append(_summary(name, found) | {"above_negatives": round(float(np.mean(found > np.max(negatives))), 3)})
    rows.append(_summary("different pictures", negatives) | {"seconds": report.distribution(seconds)})
    return rows


def _summary(pair: str, cosines: list[float]) -> dict[str, Any]:
    figures = {
        "mean": np.mean(cosines),
        "least": np.min(cosines),
        "p10": np.quantile(cosines, 0.1),
        "most": np.max(cosines),
    }
    return {"pair": pair, "count": len(cosines)} | {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    report.parser(__doc__).parse_args()
    assets = report.assets()
    rows = [{"model": "embedded", **row} for row in measure(Embedder.load("", Settings()), assets)]
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(assets / "sim" / BACKBONE, Path(folder) / BACKBONE)
        rows += [{"model": "MobileNet", **row} for row in measure(Embedder.load(folder, Settings()), assets)]
    report.table(rows, ("model", "pair", "count", "mean", "p10", "least", "most", "above_negatives"))
    report.write("similarity", rows)


if __name__ == "__main__":
    main()
