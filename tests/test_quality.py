"""The embedded networks keep what is promised of them; where the test sets are absent, on a drawn picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import quality
from metrics import psnr_y, ssim_y
from procedural import image

from pixelserve.models.super_resolution import EMBEDDED_FILES

BARS = {2: 36.9, 4: 31.0}
LARGEST_FILE = 400_000
METHODS = {"bicubic": quality.bicubic, "ours": quality.embedded()}
DRAWN = range(900_000_001, 900_000_005)
"""Seeds that no training run uses."""


@pytest.mark.parametrize("path", EMBEDDED_FILES)
def test_a_weight_file_is_small(path: Path) -> None:
    assert path.stat().st_size <= LARGEST_FILE


@pytest.mark.parametrize("scale", quality.SCALES)
def test_drawn_pictures_come_out_better_than_bicubic(scale: int) -> None:
    large = [image(seed, size=128) for seed in DRAWN]
    pairs = [(quality.shrink(picture, scale), picture) for picture in large]
    figures = quality.compare(METHODS, pairs, scale, "clean")
    assert figures["ours"]["psnr_y"] > figures["bicubic"]["psnr_y"] + 1
    assert figures["ours"]["ssim_y"] > figures["bicubic"]["ssim_y"]


@pytest.mark.parametrize("scale", quality.SCALES)
def test_set5_reaches_the_bar(assets: Path, scale: int) -> None:
    pairs = quality.set5(assets / "testsets" / "sr", scale)
    assert len(pairs) == 5
    assert quality.compare(METHODS, pairs, scale, "clean")["ours"]["psnr_y"] >= BARS[scale]


@pytest.mark.parametrize("kind", ["jpeg75", "noise3"])
@pytest.mark.parametrize("scale", quality.SCALES)
def test_worn_pictures_come_out_no_worse_than_bicubic(assets: Path, scale: int, kind: str) -> None:
    folder = assets / "testsets" / "sr"
    for pairs in (quality.set5(folder, scale), quality.urban100(folder, scale)):
        figures = quality.compare(METHODS, pairs, scale, kind)
        assert figures["ours"]["psnr_y"] >= figures["bicubic"]["psnr_y"]


def test_the_metrics_are_those_of_the_papers(assets: Path) -> None:
    bicubic = quality.compare(quality.METHODS, quality.set5(assets / "testsets" / "sr", 2), 2, "clean")["bicubic"]
    assert bicubic["psnr_y"] == pytest.approx(33.97, abs=0.01)


def test_equal_pictures_score_highest() -> None:
    picture = image(5, size=64)
    assert psnr_y(picture, picture, 2) == float("inf")
    assert ssim_y(picture, picture, 2) == pytest.approx(1)
