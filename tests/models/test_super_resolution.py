"""The upscaler: factors, targets, channels, depths, foreign weights, and the limits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawing import picture

from pixelserve.errors import OutputTooLarge
from pixelserve.imaging.image import Image, Pixels
from pixelserve.imaging.resample import resize
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.models.super_resolution import Upscaler, fill_transparent
from pixelserve.schema import Target
from pixelserve.settings import Settings

SETTINGS = Settings(runtime="torch", dtype="float32")
GREYISH = picture(32, 40) // 2 + 64
"""Away from black and white, where clipping would hide differences."""


@pytest.fixture(scope="module")
def embedded() -> Upscaler:
    return Upscaler.load("", SETTINGS)


def psnr(one: Pixels, other: Pixels) -> float:
    """Over all samples, in dB of the full range of `one`."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(np.iinfo(one.dtype).max ** 2 / error))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [2, 4])
def test_channels_and_depth_are_kept(embedded: Upscaler, scale: int, channels: int, depth: int) -> None:
    large = picture(48 * scale, 64 * scale, channels, depth)
    small = Image(resize(large, 64, 48), icc=b"profile")
    result = embedded.upscale(small, scale)
    assert result.pixels.shape == large.shape
    assert result.pixels.dtype == large.dtype
    assert result.icc == b"profile"
    visible = slice(None) if channels in (1, 3) else large[..., -1] > 0
    assert psnr(large[visible], result.pixels[visible]) > 23


def test_a_dark_16_bit_picture_is_not_taken_for_8_bit(embedded: Upscaler) -> None:
    dark = (picture(40, 40, depth=16) // 300).astype(np.uint16)
    assert dark.max() < 256
    assert np.abs(embedded.upscale(Image(dark), 2).pixels[::2, ::2].astype(int) - dark).mean() < 0.005 * 65535


def test_16_bit_is_finer_than_8_bit(embedded: Upscaler) -> None:
    ramp = np.linspace(20000, 21000, 64 * 64).reshape(64, 64, 1).astype(np.uint16)
    assert len(np.unique(embedded.upscale(Image(ramp), 2).pixels)) > 256


def test_grey_stays_what_grey_rgb_gives(embedded: Upscaler) -> None:
    grey = 64 + picture(40, 50, channels=1) // 2  # far from black and white, where each channel is cut off for itself
    from_grey = embedded.upscale(Image(grey), 2).pixels
    from_rgb = embedded.upscale(Image(grey.repeat(3, axis=2)), 2).pixels
    assert np.abs(from_rgb.mean(axis=2, keepdims=True) - from_grey).max() <= 1


def test_hidden_colours_do_not_bleed(embedded: Upscaler) -> None:
    """Whatever lies under wholly transparent pixels, the visible part comes out the same."""
    first = picture(40, 50, channels=4)
    second = first.copy()
    second[first[..., 3] == 0, :3] = (255, 0, 255)
    assert (first[..., 3] == 0).any()
    assert np.array_equal(embedded.upscale(Image(first), 2).pixels, embedded.upscale(Image(second), 2).pixels)


def test_transparent_pixels_take_the_nearest_visible_colour() -> None:
    pixels = np.zeros((5, 9, 4), np.uint8)
    pixels[2, 2] = (10, 20, 30, 255)
    pixels[2, 6] = (40, 50, 60, 1)
    filled = fill_transparent(pixels)
    assert tuple(filled[0, 0]) == (10, 20, 30, 0)
    assert tuple(filled[4, 8]) == (40, 50, 60, 0)
    assert np.array_equal(filled[..., 3], pixels[..., 3])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (2, 3), (7, 5), (10, 10)])
@pytest.mark.parametrize("scale", [2, 4])
def test_tiny_pictures_work(embedded: Upscaler, scale: int, height: int, width: int) -> None:
    result = embedded.upscale(Image(picture(40, 40)[:height, :width]), scale)
    assert result.pixels.shape == (height * scale, width * scale, 3)


@pytest.mark.parametrize(
    ("width", "height", "target", "expected"),
    [
        (1024, 1024, "2k", (2048, 2048)),
        (1000, 500, "2k", (2896, 1448)),
        (640, 360, "4k", (5461, 3072)),
        (4096, 4096, "2k", (4096, 4096)),
        (3000, 2000, "2k", (3000, 2000)),
        (1, 4, "2k", (1024, 4096)),
    ],
)
def test_a_target_brings_the_area_and_keeps_the_aspect(
    embedded: Upscaler, width: int, height: int, target: Target, expected: tuple[int, int]
) -> None:
    image = Image(np.zeros((height, width, 1), np.uint8))
    plan = embedded.plan(image, 2, target)
    assert (plan.width, plan.height) == expected


def test_a_target_that_is_reached_already_changes_nothing(embedded: Upscaler) -> None:
    image = Image(np.zeros((2048, 2048, 1), np.uint8))
    assert embedded.upscale(image, target="2k") is image


def test_a_target_is_served(embedded: Upscaler) -> None:
    large = picture(1500, 2000)
    result = embedded.upscale(Image(resize(large, 1000, 750)), target="2k")
    assert result.pixels.shape == (1774, 2365, 3)
    assert psnr(resize(large, 2365, 1774), result.pixels) > 30


def test_a_network_of_scale_4_serves_scale_2(tmp_path: Path) -> None:
    _save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=4), tmp_path / "x4.pth")
    image = Image(GREYISH)
    by_two = Upscaler.load(str(tmp_path), SETTINGS).upscale(image, 2).pixels
    by_four = Upscaler.load(str(tmp_path), SETTINGS).upscale(image, 4).pixels
    assert by_two.shape == (64, 80, 3)
    averaged = cv2.resize(by_four.astype(np.float32), (80, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(averaged - by_two).max() <= 1


def test_a_network_of_scale_2_serves_scale_4(tmp_path: Path) -> None:
    _save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2), tmp_path / "x2.pth")
    upscaler, image = Upscaler.load(str(tmp_path), SETTINGS), Image(GREYISH)
    twice = upscaler.upscale(upscaler.upscale(image, 2), 2).pixels
    assert np.abs(upscaler.upscale(image, 4).pixels.astype(int) - twice).max() <= 2


def test_an_unshuffling_rrdbnet_takes_odd_sizes(tmp_path: Path) -> None:
    _save(RRDBNet(scale=2, num_feat=8, num_block=1, num_grow_ch=4), tmp_path / "x2.pth")
    upscaler = Upscaler.load(str(tmp_path), dataclasses.replace(SETTINGS, tile=32))
    whole = Upscaler.load(str(tmp_path), dataclasses.replace(SETTINGS, tile=512))
    image = Image(picture(75, 97))
    assert np.array_equal(upscaler.upscale(image, 2).pixels, whole.upscale(image, 2).pixels)


def test_too_large_an_answer_is_refused_before_computing() -> None:
    upscaler = Upscaler.load("", dataclasses.replace(SETTINGS, max_pixels_out=100_000))
    seen: list[int] = []
    with pytest.raises(OutputTooLarge, match=r"400 x 400 pixels.*100,000 are allowed.*smaller scale") as caught:
        upscaler.upscale(Image(picture(100, 100)), 4, progress=lambda done, total: seen.append(done))
    assert caught.value.param == "scale"
    assert not seen
    with pytest.raises(OutputTooLarge) as caught:
        upscaler.upscale(Image(picture(100, 100)), target="2k")
    assert caught.value.param == "target"


def test_the_time_is_predicted_from_the_warm_up(embedded: Upscaler) -> None:
    """All three are nearest in size to the timed tile of 256 pixels."""
    embedded.warm_up()
    small, large = Image(np.zeros((200, 200, 3), np.uint8)), Image(np.zeros((240, 240, 3), np.uint8))
    assert 0 < embedded.seconds(small, embedded.plan(small)) < 60
    with_borders = (256 * 256) / (216 * 224)
    assert embedded.seconds(large, embedded.plan(large)) == pytest.approx(
        with_borders * embedded.seconds(small, embedded.plan(small))
    )
    with_alpha = Image(np.zeros((200, 200, 4), np.uint8))
    with_alpha.pixels[0, 0, 3] = 255
    assert embedded.seconds(with_alpha, embedded.plan(with_alpha)) == pytest.approx(
        2 * embedded.seconds(small, embedded.plan(small))
    )


@pytest.mark.parametrize(
    ("depth", "said"), [(8, "runtime=openvino%2C%20CPU"), (16, "runtime=torch%2C%20CPU;type=float32")]
)
def test_what_runs_a_depth_is_said(depth: int, said: str) -> None:
    upscaler, image = Upscaler.load("", Settings(runtime="openvino")), Image(picture(20, 30, 3, depth))
    assert said in upscaler.describe(image, upscaler.plan(image))


def test_runs_give_the_same_bytes(embedded: Upscaler) -> None:
    image = Image(picture(60, 60))
    assert np.array_equal(embedded.upscale(image, 4).pixels, embedded.upscale(image, 4).pixels)


@pytest.mark.parametrize("own", [2, 4])
def test_both_factors_of_one_network_share_its_number_type(tmp_path: Path, own: int) -> None:
    _save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=own), tmp_path / "own.pth")
    upscaler = Upscaler.load(str(tmp_path), dataclasses.replace(SETTINGS, dtype="bfloat16"))
    exact = Upscaler.load(str(tmp_path), SETTINGS)
    for scale in (2, 4):
        assert next(upscaler.network(scale).parameters()).dtype == torch.bfloat16
        found, expected = (one.upscale(Image(GREYISH), scale).pixels.astype(int) for one in (upscaler, exact))
        assert np.abs(found - expected).max() <= 6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_pictures_keep_their_precision_in_any_number_type(embedded: Upscaler, dtype: str) -> None:
    reduced = Upscaler.load("", dataclasses.replace(SETTINGS, dtype=dtype))
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64, 1)
    white = np.full((16, 16, 4), 65535, np.uint16)
    for pixels in (ramp, white):
        assert np.array_equal(reduced.upscale(Image(pixels), 2).pixels, embedded.upscale(Image(pixels), 2).pixels)
    assert reduced.upscale(Image(white), 2).pixels[4:-4, 4:-4].min() > 65000


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_opaque_stays_opaque_to_its_edges(embedded: Upscaler, channels: int, depth: int) -> None:
    pixels = picture(20, 30, channels, depth)
    pixels[..., -1] = np.iinfo(pixels.dtype).max
    result = embedded.upscale(Image(pixels), 2).pixels
    assert (result[..., -1] == np.iinfo(pixels.dtype).max).all()
    assert np.array_equal(result[..., :-1], embedded.upscale(Image(pixels[..., :-1].copy()), 2).pixels)


def _save(network: torch.nn.Module, path: Path) -> None:
    torch.manual_seed(3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.02)
    torch.save({"params": network.state_dict()}, path)
