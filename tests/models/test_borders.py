"""Flat pictures stay flat to their edges, and alpha stays all or nothing, in one piece and in tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import picture

from pixelserve.imaging import Image, Pixels
from pixelserve.models import Upscaler
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.settings import Settings

COLORS = [
    (0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (30, 120, 200),
]  # fmt: skip
ONE_PIECE, SMALL_TILES = 512, 32
WEIGHTS = {"realesr-general-x4v3": 3, "realesr-animevideov3": 3}
"""Published networks that see further than the border is wide, and the largest deviation of each."""


def flat(color: tuple[int, ...]) -> Pixels:
    return np.full((33, 40, len(color)), color, np.uint8)


def unevenness(enlarged: Pixels, scale: int) -> int:
    """The largest difference of any output pixel from that of the same phase in the middle."""
    height, width = enlarged.shape[:2]
    y, x = height // 2 // scale * scale, width // 2 // scale * scale
    middle = enlarged[y : y + scale, x : x + scale].astype(int)
    tiled = np.tile(middle, (height // scale + 1, width // scale + 1, 1))[:height, :width]
    return int(np.abs(enlarged - tiled).max())


@pytest.mark.parametrize("tile", [ONE_PIECE, SMALL_TILES])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [2, 4])
def test_flat_pictures_come_out_as_they_are(scale: int, dtype: str, tile: int) -> None:
    """By the embedded networks, to the level: opaque, half hidden, and with an alpha that hides nothing or all."""
    upscaler = Upscaler.load("", Settings(runtime="torch", dtype=dtype, tile=tile))
    for color in COLORS:
        for alpha in ((), (255,), (100,), (0,)):
            enlarged = upscaler.upscale(Image(flat(color + alpha)), scale).pixels
            assert (enlarged == color + alpha).all(), (color, alpha)


@pytest.mark.parametrize("name", WEIGHTS)
def test_published_networks_keep_flat_edges_nearly_flat(assets: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.pth").symlink_to(assets / "sr" / f"{name}.pth")
    upscaler = Upscaler.load(str(tmp_path), Settings(runtime="torch", dtype="float32"))
    for scale in (2, 4):
        found = max(unevenness(upscaler.upscale(Image(flat(color)), scale).pixels, scale) for color in COLORS)
        assert found <= WEIGHTS[name]


@pytest.mark.parametrize("scale", [2, 4])
def test_an_unshuffling_network_sees_no_black_beyond_the_edge(tmp_path: Path, scale: int) -> None:
    """One that looks one unshuffled pixel, 2 of the picture's, to each side: flat pictures are flat to their edges."""
    torch.manual_seed(3)
    network = RRDBNet(scale=2, num_feat=8, num_block=1, num_grow_ch=4)
    with torch.no_grad():
        network.conv_last.weight *= 30
        network.conv_last.bias += 0.5
        for parameter in network.body.parameters():  # whose reach is beyond the border
            parameter.zero_()
    torch.save(network.state_dict(), tmp_path / "x2.pth")
    for tile in (ONE_PIECE, SMALL_TILES):
        upscaler = Upscaler.load(str(tmp_path), Settings(runtime="torch", dtype="float32", tile=tile))
        enlarged = [upscaler.upscale(Image(flat(color)), scale).pixels for color in COLORS]
        assert max(map(np.ptp, enlarged)) > 0
        assert max(unevenness(pixels, 2 * scale) for pixels in enlarged) == 0


@pytest.mark.parametrize("tile", [ONE_PIECE, SMALL_TILES])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("scale", [2, 4])
def test_alpha_stays_all_or_nothing_where_its_neighbours_are(scale: int, channels: int, depth: int, tile: int) -> None:
    pixels = picture(60, 80, channels, depth)
    most = np.iinfo(pixels.dtype).max
    pixels[10:30, 20:60, -1] = most
    pixels[35:50, 50:75, -1] = 0
    enlarged = (
        Upscaler.load("", Settings(runtime="torch", dtype="bfloat16", tile=tile))
        .upscale(Image(pixels), scale)
        .pixels[..., -1]
    )
    assert (enlarged[11 * scale : 29 * scale, 21 * scale : 59 * scale] == most).all()
    assert (enlarged[36 * scale : 49 * scale, 51 * scale : 74 * scale] == 0).all()
    assert (enlarged[: 60 * scale, : 18 * scale] == 0).all()  # the left quarter of the picture, to its edges
    half = (enlarged > 0.3 * most) & (enlarged < 0.7 * most)
    assert half.mean() > 0.05  # and what is between stays between
