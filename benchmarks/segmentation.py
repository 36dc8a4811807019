"""How well people are told from what is behind them: mean IoU on 29 photographs, false area where nobody is.

The embedded classical default beside selfie-segmentation and SINet, all as served. Needs the assets.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import report
from numpy.typing import NDArray

from pixelserve.imaging import Image
from pixelserve.models.segmentation import Segmenter
from pixelserve.settings import Settings

LONGEST_EDGE = 1000
NETWORKS = {"selfie-segmentation": "selfie_segmentation.tflite", "SINet": "SINet.onnx"}
"""Files in the assets by what they are called in the results."""


def humans(assets: Path) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Photographs (H, W, 3) uint8 with their truth (H, W) bool."""
    for path in sorted((assets / "testsets" / "humanseg" / "img").glob("*.jpg")):
        truth = cv2.imread(str(path.parents[1] / "gt" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE) > 127
        yield cv2.resize(read(path), truth.shape[::-1], interpolation=cv2.INTER_AREA), truth


def nobody(assets: Path) -> Iterator[NDArray[Any]]:
    """Photographs (H, W, 3) uint8 without people: buildings, and a bridge in its edits."""
    folder = assets / "testsets"
    paths = [*(folder / "sr" / "Urban100_HR").glob("*.png"), *(folder / "similarity_pdq").glob("bridge-mods*")]
    for path in sorted(paths):
        rgb = read(path)
        ratio = min(1.0, LONGEST_EDGE / max(rgb.shape))
        yield cv2.resize(rgb, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)


def read(path: Path) -> NDArray[Any]:
    """(H, W, 3) uint8, RGB."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def measure(segmenter: Segmenter, assets: Path) -> dict[str, Any]:
    """Mean and median IoU, the share of person-free pictures that is taken for people, and seconds per picture."""
    figures, seconds = [], []
    for rgb, truth in humans(assets):
        started = time.perf_counter()
        found = segmenter.alpha(Image(rgb))[..., 0] > 127
        seconds.append(time.perf_counter() - started)
        figures.append(float((found & truth).sum() / max(1, (found | truth).sum())))
    false = [float((segmenter.alpha(Image(rgb)) > 127).mean()) for rgb in nobody(assets)]
    return {
        "pictures": len(figures),
        "mean_iou": round(statistics.fmean(figures), 4),
        "median_iou": round(statistics.median(figures), 4),
        "person_free": len(false),
        "false_area": round(float(np.mean(false)), 5),
        "seconds": report.distribution(seconds),
    }


def main() -> None:
    report.parser(__doc__).parse_args()
    assets = report.assets()
    rows = [{"model": "embedded", **measure(Segmenter.load("", Settings()), assets)}]
    for model, file in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / file).symlink_to(assets / "seg" / file)
            rows.append({"model": model, **measure(Segmenter.load(folder, Settings()), assets)})
    report.table(rows, ("model", "pictures", "mean_iou", "median_iou", "person_free", "false_area"))
    report.write("segmentation", rows)


if __name__ == "__main__":
    main()
