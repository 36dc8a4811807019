"""People told from what is behind them: the classical default, networks by descriptor, alpha and cut-outs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import segmentation
from skimage import data

from pixelserve.errors import CheckpointError, ImageTooLarge
from pixelserve.imaging.image import Image
from pixelserve.models.portable import DESCRIPTORS, Descriptor
from pixelserve.models.segmentation import Segmenter, calibrated, cut_out, probability, refined
from pixelserve.observe import ServedNetwork
from pixelserve.settings import Settings

SETTINGS = Settings()


@pytest.fixture(scope="module")
def default() -> Segmenter:
    return Segmenter.load("/nowhere", SETTINGS)


def test_the_astronaut_is_found(default: Segmenter) -> None:
    alpha = default.alpha(Image(data.astronaut()))[..., 0]
    assert alpha.shape == (512, 512)
    assert alpha.dtype == np.uint8
    assert (alpha[100:200, 190:260] > 200).mean() > 0.9
    assert (alpha[:60, 400:] < 50).mean() > 0.9
    assert 0.2 < (alpha > 127).mean() < 0.7


@pytest.mark.parametrize("shade", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (200, 160)])
def test_nobody_is_an_empty_mask(default: Segmenter, shade: int, shape: tuple[int, int]) -> None:
    assert not default.alpha(Image(np.full((*shape, 3), shade, np.uint8))).any()


def test_photographs_without_people_are_empty(default: Segmenter) -> None:
    for picture in (data.chelsea(), data.coffee(), data.rocket()):
        assert not default.alpha(Image(picture)).any()


def test_what_is_hidden_stays_hidden(default: Segmenter) -> None:
    rgba = np.dstack([data.astronaut(), np.full((512, 512), 255, np.uint8)])
    rgba[300:, :, 3] = 0
    alpha = default.alpha(Image(rgba))[..., 0]
    assert not alpha[300:].any()
    assert (alpha[:300] > 127).mean() > 0.1


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_16_bit_are_read(default: Segmenter, channels: int, depth: int) -> None:
    pixels = data.astronaut() if channels == 3 else cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)[..., None]
    if depth == 16:
        pixels = pixels.astype(np.uint16) * 257
    assert (default.alpha(Image(pixels)) > 127).mean() > 0.2


def test_too_long_an_edge_is_refused(default: Segmenter) -> None:
    with pytest.raises(ImageTooLarge, match="4,096"):
        default.alpha(Image(np.zeros((1, 4097, 3), np.uint8)))


@pytest.mark.timeout(600)
def test_the_default_reaches_its_bar(default: Segmenter, assets: Path) -> None:
    figures = segmentation.measure(default, assets)
    assert (figures["pictures"], figures["person_free"]) == (29, 15)
    assert figures["mean_iou"] >= 0.68
    assert figures["false_area"] < 0.01


@pytest.mark.timeout(600)
def test_selfie_segmentation_reaches_its_bar(selfie_segmentation: Path, assets: Path) -> None:
    """The published file, out of its package: MediaPipe's own result has a mean IoU of 0.911 here."""
    served = Segmenter.load(str(selfie_segmentation), SETTINGS)
    assert served.network == "selfie_segmentation.tflite"
    figures = segmentation.measure(served, assets)
    assert figures["mean_iou"] >= 0.9
    assert figures["false_area"] < 0.01


def test_the_default_says_what_it_is(default: Segmenter) -> None:
    assert default.network == "classical"


def test_a_network_is_served_by_its_descriptor(assets: Path, tmp_path: Path) -> None:
    shutil.copy(assets / "seg" / "SINet.onnx", tmp_path)
    known = Segmenter.load(str(tmp_path), SETTINGS)
    assert segmentation.measure(known, assets)["mean_iou"] >= 0.75
    (tmp_path / "SINet.onnx").rename(tmp_path / "own.onnx")
    with pytest.raises(CheckpointError, match=r"no descriptor own\.json beside own\.onnx"):
        Segmenter.load(str(tmp_path), SETTINGS)
    described = {
        "width": 320, "height": 320, "channels": "bgr", "activation": "softmax", "channel": 1,
        "mean": [0.40349, 0.43628, 0.49769], "std": [62.93292, 62.82138, 66.355705],
    }  # fmt: skip
    (tmp_path / "own.json").write_text(json.dumps(described))
    image = Image(data.astronaut())
    assert np.array_equal(Segmenter.load(str(tmp_path), SETTINGS).alpha(image), known.alpha(image))
    for color in (0, 255, (255, 0, 0), (0, 255, 0)):
        assert not known.alpha(Image(np.full((300, 200, 3), color, np.uint8))).any()
    (tmp_path / "own.json").write_text(json.dumps(described | {"channel": 7}))
    with pytest.raises(CheckpointError, match="channel is 7; there are 2 planes"):
        Segmenter.load(str(tmp_path), SETTINGS)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"width": 0, "height": 1}',
        '{"width": 1, "height": 1, "std": [1, 0, 1]}',
        '{"width": 320, "height": 320, "meen": [0, 0, 0]}',
        '{"width": 320, "height": 320, "stretch": true, "crop": true}',
    ],
)
def test_a_wrong_descriptor_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.onnx").write_bytes(b"")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"a\.json does not describe a network"):
        Segmenter.load(str(tmp_path), SETTINGS)


def test_a_broken_network_and_two_networks_are_told(tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes(b"not onnx")
    with pytest.raises(CheckpointError, match=r"u2netp\.onnx does not run"):
        Segmenter.load(str(tmp_path), SETTINGS)
    (tmp_path / "b.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match="Leave one network"):
        Segmenter.load(str(tmp_path), SETTINGS)


@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
def test_probabilities_are_finite_whatever_the_network_says(activation: Any) -> None:
    planes = np.array([[[0.0, 1e30, -1e30, np.nan]], [[1.0, -1e30, 1e30, np.nan]]], np.float32)
    descriptor = Descriptor(width=4, height=1, activation=activation, channel=1)
    with np.errstate(all="ignore"):
        found = probability(planes, descriptor)
    assert found.shape == (1, 4)
    assert ((found >= 0) & (found <= 1)).all()
    assert found[0, 2] > 0.99
    assert found[0, 3] == 0


def test_a_mask_is_brought_between_its_least_and_its_most_as_u2net_does() -> None:
    """As rembg does: https://github.com/danielgatis/rembg, sessions/u2net.py; unless it is sure of nothing."""
    described = DESCRIPTORS["u2netp"]
    planes = np.array([[[0.1, 0.3, 0.5]]], np.float32)
    assert np.allclose(probability(planes, described), [[0, 0.5, 1]])
    assert not probability(np.full((1, 4, 4), 0.7, np.float32), described).any()
    assert probability(np.array([[[0.9, np.nan]]], np.float32), described)[0, 1] == 0
    weak = np.random.default_rng(0).uniform(0, 0.49, (1, 320, 320)).astype(np.float32)
    assert np.array_equal(probability(weak, described), weak[0])
    assert not calibrated(probability(weak, described)).any(), "people where nobody is"


def test_a_network_for_people_takes_no_crop(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"")
    (tmp_path / "a.json").write_text('{"width": 320, "height": 320, "crop": true}')
    with pytest.raises(CheckpointError, match=r"a\.onnx has crop: people are told in all of a picture"):
        Segmenter.load(str(tmp_path), SETTINGS)


def test_a_network_may_put_its_planes_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its mask is the left half, in the second of two planes (1, H, W, 2)."""

    def run(batch: Any) -> Any:
        planes = np.zeros((1, 32, 32, 2), np.float32)
        planes[:, :, :16, 1] = 1
        return planes

    monkeypatch.setattr("pixelserve.models.portable.load", lambda *_: (run, ServedNetwork("net", "ONNX", "", "x", "y")))
    (tmp_path / "last.tflite").write_bytes(b"")
    (tmp_path / "last.json").write_text('{"width": 32, "height": 32, "layout": "nhwc", "channel": 1}')
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    alpha = Segmenter.load(str(tmp_path), SETTINGS).alpha(Image(picture))[..., 0]
    assert alpha[:, :24].mean() > 230
    assert alpha[:, 40:].mean() < 25


def test_a_cut_out_keeps_the_colours_of_half_transparent_pixels() -> None:
    rgba = np.full((40, 40, 4), (200, 20, 20, 128), np.uint8)
    result = cut_out(Image(rgba), np.full((40, 40, 1), 128, np.uint8)).pixels
    assert np.abs(result[..., :3].astype(int) - (200, 20, 20)).max() <= 2


def test_calibration_does_not_stretch() -> None:
    assert not calibrated(np.full((100, 100), 0.3, np.float32)).any()
    person = np.full((100, 100), 0.04, np.float32)
    person[20:60, 20:60] = 0.95
    alpha = calibrated(person)
    assert (alpha[20:60, 20:60] == 1).all()
    assert alpha[0, 0] == 0


def test_alpha_follows_the_edges_of_the_picture() -> None:
    """A disc, its alpha known at an eighth of the size only."""
    yy, xx = np.mgrid[:512, :512]
    disc = ((yy - 256) ** 2 + (xx - 256) ** 2 < 150**2).astype(np.float32)
    rgb = np.repeat((40 + 180 * disc)[..., None], 3, axis=2).astype(np.uint8)
    small = cv2.resize(disc, (64, 64), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(small, (512, 512), interpolation=cv2.INTER_LINEAR)
    assert np.abs(refined(small, rgb) - disc).mean() < 0.3 * np.abs(plain - disc).mean()


def test_a_cut_out_has_no_fringe() -> None:
    """Red in front of green, mixed at the edge: the cut-out is red there too."""
    alpha = np.tile(np.clip((np.arange(200) - 90) / 20, 0, 1), (100, 1)).astype(np.float32)[..., None]
    red, green = np.array([220, 30, 30]), np.array([30, 200, 40])
    mixed = (alpha * red + (1 - alpha) * green).astype(np.uint8)
    result = cut_out(Image(mixed), (alpha * 255).astype(np.uint8)).pixels
    assert result.shape == (100, 200, 4)
    edge = (alpha[..., 0] > 0.1) & (alpha[..., 0] < 0.9)
    assert np.abs(result[edge][:, :3].astype(int) - red).max() <= 30
    assert np.abs(mixed[edge].astype(int) - red).max() > 120


def test_a_cut_out_in_bands_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(cv2.resize(data.astronaut(), (300, 700)))
    alpha = np.random.default_rng(0).integers(0, 256, (70, 30), dtype=np.uint8)
    alpha = cv2.resize(alpha, (300, 700), interpolation=cv2.INTER_CUBIC)[..., None]
    banded = cut_out(image, alpha).pixels
    monkeypatch.setattr("pixelserve.models.segmentation.BAND_ROWS", 700)
    assert np.abs(banded.astype(int) - cut_out(image, alpha).pixels).max() <= 1


def test_a_grey_profile_does_not_stay_on_a_coloured_cut_out(default: Segmenter) -> None:
    grey = Image(np.full((20, 20, 1), 9, np.uint16), icc=b"grey profile")
    assert cut_out(grey, default.alpha(grey)).icc is None
