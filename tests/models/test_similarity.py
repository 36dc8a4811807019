"""Copies of a picture get close vectors, other pictures do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawing import picture
from PIL import Image as Pillow
from PIL import ImageOps
from procedural import image as drawn
from similarity import BACKBONE, COPIES, jpeg, vector
from skimage import data
from tflite import BuiltinOperator
from tflite_files import Operation, write

from pixelserve.errors import CheckpointError, ImageTooLarge
from pixelserve.imaging.image import Image
from pixelserve.models import vlad
from pixelserve.models.resnet import ResNet18
from pixelserve.models.similarity import VOCABULARY, Embedder, cosine, normalized
from pixelserve.settings import Settings

SETTINGS = Settings()
PHOTOGRAPHS = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
ALIKE = 0.3
"""Above this two pictures show the same; other photographs stay below."""


@pytest.fixture(scope="module")
def default() -> Embedder:
    return Embedder.load("/nowhere", SETTINGS)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_copy_is_alike(default: Embedder, name: str, copy: str) -> None:
    photograph = PHOTOGRAPHS[name]
    assert cosine(vector(default, photograph), vector(default, COPIES[copy](photograph))) > ALIKE


def test_other_photographs_are_not_alike(default: Embedder) -> None:
    vectors = [vector(default, rgb) for rgb in PHOTOGRAPHS.values()]
    for first in range(len(vectors)):
        for second in range(first):
            assert cosine(vectors[first], vectors[second]) < ALIKE


def test_a_vector_is_512_numbers_and_the_same_again(default: Embedder) -> None:
    first, second = (vector(default, PHOTOGRAPHS["coffee"]) for _ in range(2))
    assert first.shape == (512,)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)
    assert np.linalg.norm(normalized(first)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (64, 64)])
def test_pictures_without_features_are_compared_by_their_colours(default: Embedder, shape: tuple[int, int]) -> None:
    black, grey, white, red = (
        vector(default, np.full((*shape, 3), color, np.uint8)) for color in (0, 128, 255, (200, 0, 0))
    )
    for one in (black, grey, white, red):
        assert cosine(one, one) == pytest.approx(1)
        assert abs(cosine(one, vector(default, PHOTOGRAPHS["coffee"]))) < ALIKE
    assert cosine(black, white) < 0
    assert cosine(grey, white) < ALIKE
    assert cosine(red, white) < ALIKE


def test_a_vector_of_0_is_like_nothing() -> None:
    nothing = np.zeros(4, np.float32)
    assert not normalized(nothing).any()
    assert cosine(nothing, nothing) == 0


def test_too_long_an_edge_is_refused(default: Embedder) -> None:
    with pytest.raises(ImageTooLarge, match="4,096"):
        default.vector(Image(np.zeros((4097, 1, 3), np.uint8)))


def test_the_bridge_is_found_in_its_edits(default: Embedder, assets: Path) -> None:
    folder = assets / "testsets" / "similarity_pdq"
    original = vector(default, cv2.imread(str(folder / "bridge-mods__aaa-orig.jpg"))[..., ::-1])
    for path in sorted(folder.glob("bridge-mods__*")):
        assert cosine(original, vector(default, cv2.imread(str(path))[..., ::-1])) > ALIKE, path.name


def test_a_backbone_is_served_by_its_descriptor(assets: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the backbone of the assets is TensorFlow Lite, which OpenVINO reads")
    shutil.copy(assets / "sim" / BACKBONE, tmp_path)
    backbone = Embedder.load(str(tmp_path), SETTINGS)
    astronaut, chelsea = PHOTOGRAPHS["astronaut"], PHOTOGRAPHS["chelsea"]
    assert vector(backbone, astronaut).shape == (512,)
    assert cosine(vector(backbone, astronaut), vector(backbone, jpeg(astronaut))) > 0.9
    assert cosine(vector(backbone, astronaut), vector(backbone, chelsea)) < 0.7


@pytest.mark.parametrize(
    ("way", "shape"),
    [("stretch", (32, 64)), ("crop", (32, 64)), ("crop", (64, 32)), ("crop", (48, 80)), ("", (32, 64))],
)
def test_a_picture_fills_the_input_as_the_descriptor_says(way: str, shape: tuple[int, int], tmp_path: Path) -> None:
    """Beside Pillow; the network gives back its input."""
    relu = Operation(BuiltinOperator.RELU, [0], 1)
    write(tmp_path / "same.tflite", [(1, 16, 16, 3), (1, 16, 16, 3)], [relu])
    described = {"width": 16, "height": 16, "layout": "nhwc"} | ({way: True} if way else {})
    (tmp_path / "same.json").write_text(json.dumps(described))
    rgb = picture(*shape)
    found = vector(Embedder.load(str(tmp_path), SETTINGS), rgb).reshape(16, 16, 3) * 255
    pillow = Pillow.fromarray(rgb)
    expected = {
        "stretch": lambda: pillow.resize((16, 16), Pillow.Resampling.BOX),
        "crop": lambda: ImageOps.fit(pillow, (16, 16), Pillow.Resampling.BOX),
        "": lambda: ImageOps.pad(pillow, (16, 16), Pillow.Resampling.BOX, tuple(rgb.mean(axis=(0, 1)).astype(int))),
    }[way]()
    assert np.abs(found - expected).max() <= 2


def test_resnet_has_the_published_layout_and_is_served(tmp_path: Path) -> None:
    """torchvision's file holds 11,689,512 parameters, 513,000 of them in the classifier that is left out here."""
    torch.manual_seed(0)
    network = ResNet18().eval()
    assert sum(value.numel() for value in network.parameters()) == 11_689_512 - 513_000
    names = set(network.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.1.bn2.bias", "layer2.0.downsample.0.weight",
            "layer4.1.conv2.weight", "layer4.0.downsample.1.num_batches_tracked"} <= names  # fmt: skip
    assert len(names) == 120
    classifier = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(network.state_dict() | classifier, tmp_path / "resnet18-f37072fd.pth")
    found = vector(Embedder.load(str(tmp_path), SETTINGS), np.zeros((224, 224, 3), np.uint8))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    black = torch.from_numpy((-mean / std).astype(np.float32))[:, None, None].expand(1, 3, 224, 224)
    with torch.inference_mode():
        assert np.allclose(found, network(black)[0].numpy(), atol=1e-5)


def test_another_network_of_torch_is_told(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(CheckpointError, match="does not run as its descriptor says"):
        Embedder.load(str(tmp_path), SETTINGS)


@pytest.mark.soak
def test_fitting_gives_the_same_bytes_again(tmp_path: Path) -> None:
    pictures = [drawn(number, size=64) for number in range(540)]
    for name in ("first", "second"):
        vlad.fit(pictures).save(tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert vlad.Vocabulary.load(tmp_path / "first").whitening.shape == (1024, 512)


def test_the_shipped_vocabulary_is_small() -> None:
    assert VOCABULARY.stat().st_size < 1_300_000
