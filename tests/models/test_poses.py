"""Turned and mirrored copies: pictures of PDQ's test data, which others turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelserve.errors import BadRequest
from pixelserve.imaging import Image, decode
from pixelserve.models import Embedder, cosine, poses
from pixelserve.schema import SimilarityRequest, parse_json
from pixelserve.settings import Settings

BRIDGE = "reg-test-input__dih__bridge-{}.jpg"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.load("", Settings())


@pytest.mark.parametrize(
    ("name", "lies"),
    [
        ("2-rotate-90", {"mirrored": False}),
        ("3-rotate-180", {"rotation": 180, "mirrored": False}),
        ("4-rotate-270", {"mirrored": False}),
        ("5-flipx", {"mirrored": True}),
        ("6-flipy", {"mirrored": True}),
    ],
)
def test_a_turned_or_mirrored_copy_is_found(
    embedder: Embedder, assets: Path, name: str, lies: dict[str, object]
) -> None:
    folder = assets / "testsets" / "similarity_pdq"
    one, other = (decode((folder / BRIDGE.format(part)).read_bytes(), Settings()) for part in ("1-original", name))
    vector = embedder.vector(one)
    found = [(cosine(vector, embedder.vector(image)), said) for image, said in poses(other, True, True)]
    assert len(found) == 8
    best, said = max(found, key=lambda pair: pair[0])
    assert best > 0.9
    assert said.items() >= lies.items()


def test_a_pose_turns_the_picture_back() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    turned = Image(np.ascontiguousarray(np.rot90(pixels[:, ::-1])))
    assert [said for image, said in poses(turned, True, True) if np.array_equal(image.pixels, pixels)] == [
        {"rotation": 90, "mirrored": True}
    ]
    assert [said for _, said in poses(turned, False, False)] == [{}]


def test_poses_are_of_the_colours_that_are_compared() -> None:
    """Which are converted once: grey of 16 bits comes as RGB of 8, without a profile."""
    grey = Image(np.full((4, 6, 1), 0x8080, np.uint16))
    found = [image for image, _ in poses(grey, True, False)]
    assert [image.pixels.shape for image in found] == [(4, 6, 3), (6, 4, 3)] * 2
    assert all((image.pixels == 0x80).all() and image.icc is None for image in found)


def test_they_go_with_two_images() -> None:
    with pytest.raises(BadRequest, match="rotations and mirrored go with two images"):
        parse_json(SimilarityRequest, b'{"url": "https://a.example/b.png", "rotations": true}')
