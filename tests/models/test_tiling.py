"""Tiles give what the whole picture gives, take no more memory than a tile needs, and shrink when memory runs out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawing import picture

import pixelserve
from pixelserve.errors import OutOfMemory
from pixelserve.imaging.image import Image, Pixels
from pixelserve.imaging.tiling import Tiles, read_pixels, run_tiled
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.super_resolution import Upscaler
from pixelserve.settings import Settings

EMBEDDED = Path(pixelserve.__file__).parent / "models" / "embedded"
WHOLE = 512
"""A tile edge that holds every picture of these tests in one piece."""


def nearest(tile: Pixels) -> Pixels:
    """A network without reach."""
    return tile.repeat(2, axis=0).repeat(2, axis=1)


def blurred(tile: Pixels) -> Pixels:
    """A network of reach 3: enlarges by 2 after a 7x7 mean that depends on where the picture ends."""
    return nearest(cv2.blur(tile, (7, 7), borderType=cv2.BORDER_CONSTANT).reshape(tile.shape))


@pytest.mark.parametrize("tile", [32, 50, 75, 150])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_embedded_network_in_tiles_equals_the_whole(scale: int, tile: int) -> None:
    image = Image(picture(121, 157))
    whole = Upscaler.load("", Settings(runtime="torch", dtype="float32", tile=WHOLE)).upscale(image, scale)
    tiled = Upscaler.load("", Settings(runtime="torch", dtype="float32", tile=tile)).upscale(image, scale)
    assert np.array_equal(tiled.pixels, whole.pixels)


@pytest.mark.parametrize("scale", [2, 4])
def test_in_bfloat16_tiles_differ_by_one_step_at_most(scale: int) -> None:
    image = Image(picture(121, 157))
    whole = Upscaler.load("", Settings(runtime="torch", dtype="bfloat16", tile=WHOLE)).upscale(image, scale)
    tiled = Upscaler.load("", Settings(runtime="torch", dtype="bfloat16", tile=50)).upscale(image, scale)
    assert np.abs(tiled.pixels.astype(int) - whole.pixels).max() <= 1


def test_overlap_of_the_reach_is_needed_and_enough() -> None:
    pixels = picture(90, 110)
    whole = blurred(pixels)
    assert np.array_equal(run_tiled(blurred, pixels, Tiles(2, 32, overlap=3)), whole)
    assert not np.array_equal(run_tiled(blurred, pixels, Tiles(2, 32, overlap=2)), whole)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (3, 3), (33, 32), (64, 65)])
def test_every_shape_is_covered_once(height: int, width: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    seen: list[tuple[int, int]] = []
    out = run_tiled(nearest, pixels, Tiles(2, 32, 0), lambda done, total: seen.append((done, total)))
    assert np.array_equal(out, nearest(pixels))
    assert seen[-1] == (height * width, height * width)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_starts_of_tiles_are_multiples() -> None:
    starts: set[tuple[int, int]] = set()
    numbered = np.arange(101 * 99, dtype=np.uint16).reshape(101, 99, 1)

    def recording(tile: Pixels) -> Pixels:
        starts.add(divmod(int(tile[0, 0, 0]), 99))
        return nearest(tile)

    run_tiled(recording, numbered, Tiles(2, 30, overlap=5, multiple=4))
    assert len(starts) > 4
    assert all(y % 4 == 0 and x % 4 == 0 for y, x in starts)


def test_progress_may_stop_the_run() -> None:
    class Stop(Exception):
        pass

    calls = 0

    def stop(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        raise Stop

    with pytest.raises(Stop):
        run_tiled(nearest, picture(100, 100), Tiles(2, 32, 0), stop)
    assert calls == 1


def test_a_tile_is_halved_when_memory_runs_out() -> None:
    pixels, refused, ran = picture(128, 128), [], []

    def network(tile: Pixels) -> Pixels:
        if tile.shape[0] * tile.shape[1] > 40 * 40:
            refused.append(tile.shape)
            raise MemoryError
        ran.append(tile.shape)
        return nearest(tile)

    assert np.array_equal(run_tiled(network, pixels, Tiles(2, 128, 0)), nearest(pixels))
    assert len(refused) == 2  # 128 and 64; the size that failed is not tried again
    assert {shape[:2] for shape in ran} == {(32, 32)}


def test_without_memory_for_the_smallest_tile_the_error_says_so() -> None:
    def network(tile: Pixels) -> Pixels:
        raise MemoryError

    with pytest.raises(OutOfMemory, match="larger instance"):
        run_tiled(network, picture(100, 100), Tiles(2, 64, 0))


def test_other_errors_are_not_taken_for_memory() -> None:
    def network(tile: Pixels) -> Pixels:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_tiled(network, picture(100, 100), Tiles(2, 64, 0))


def test_feathered_tiles_of_a_deep_network_stay_within_the_bound() -> None:
    """The stated bound for RRDBNet: mean 0.5/255, no sample further off than 24/255."""
    torch.manual_seed(4)
    network = RRDBNet(scale=4, num_feat=16, num_block=5, num_grow_ch=8).eval()

    def run(tile: Pixels) -> Pixels:
        planes = torch.from_numpy(tile.copy()).permute(2, 0, 1)[None].float() / 255
        enlarged = torch.nn.functional.interpolate(planes, scale_factor=4, mode="bicubic")
        with torch.inference_mode():
            out = enlarged + network(planes)
        return (out[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()

    pixels = picture(150, 170)
    tiled = run_tiled(run, pixels, Tiles(4, 64, overlap=32, feathered=True))
    difference = np.abs(tiled.astype(int) - run(pixels))
    assert difference.mean() <= 0.5
    assert difference.max() <= 24


def test_feathered_joints_are_smooth() -> None:
    """Two tiles that disagree meet in a ramp, not in a step."""
    level = iter([100, 140])

    def network(tile: Pixels) -> Pixels:
        return np.full((tile.shape[0] * 2, tile.shape[1] * 2, 1), next(level), np.uint8)

    out = run_tiled(network, np.zeros((64, 128, 1), np.uint8), Tiles(2, 64, overlap=16, feathered=True))
    row = out[40, :, 0].astype(int)
    assert (row[0], row[-1]) == (100, 140)
    assert np.abs(np.diff(row)).max() <= 1


def test_memory_is_that_of_a_tile() -> None:
    """The largest piece a network sees does not grow with the picture."""

    def largest(height: int, width: int) -> int:
        seen = []

        def network(tile: Pixels) -> Pixels:
            seen.append(tile.shape[0] * tile.shape[1])
            return nearest(tile)

        run_tiled(network, np.zeros((height, width, 3), np.uint8), Tiles(2, 64, 10))
        return max(seen)

    bound = (64 + 20) ** 2
    assert largest(200, 200) <= bound
    assert largest(1000, 1200) <= bound


def test_the_upscaler_cuts_by_the_setting() -> None:
    image, seen = Image(picture(100, 100)), []
    settings = dataclasses.replace(Settings(), tile=50, dtype="float32")
    Upscaler.load("", settings).upscale(image, 2, progress=lambda done, total: seen.append(done))
    assert seen == [2500, 5000, 7500, 10000]


@pytest.mark.parametrize("picture_width", [1, 15, 16, 49, 99, 130])
@pytest.mark.parametrize("multiple", [1, 4])
def test_widths_that_are_read_are_multiples(multiple: int, picture_width: int) -> None:
    """And every cut sees the same: a network of reach 3 beyond a border of 0 or 8."""
    pixels, columns = picture(50, picture_width), np.arange(picture_width, dtype=np.uint8)
    numbered = np.concatenate([pixels, np.broadcast_to(columns[:, None], (50, picture_width, 1))], axis=2)

    def network(tile: Pixels) -> Pixels:
        assert tile.shape[1] % 16 == 0
        starts.append(int(tile[0, 0, -1]))
        return blurred(tile)

    for border in (0, 8):
        starts: list[int] = []
        one, many = (Tiles(2, edge, 3, False, multiple, border, width_multiple=16) for edge in (WHOLE, 32))
        whole = run_tiled(network, numbered, one)[..., :3]
        assert np.array_equal(run_tiled(network, numbered, many)[..., :3], whole)
        assert all(start % multiple == 0 for start in starts)


@pytest.mark.parametrize(
    "tiles",
    [
        Tiles(2, 24, 5),
        Tiles(2, 24, 5, multiple=2, border=8, width_multiple=16),
        Tiles(2, 30, 9, feathered=True),
        Tiles(2, 30, 9, feathered=True, width_multiple=16),
    ],
)
def test_the_pixels_read_are_those_the_network_is_given(tiles: Tiles) -> None:
    given: list[int] = []

    def network(pixels: Pixels) -> Pixels:
        given.append(pixels.shape[0] * pixels.shape[1])
        return pixels.repeat(2, axis=0).repeat(2, axis=1)

    run_tiled(network, picture(61, 93), tiles)
    assert len(given) > 4
    assert read_pixels(61, 93, tiles) == given
