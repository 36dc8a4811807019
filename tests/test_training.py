"""The embedded networks' training: pictures and weights come from the seed alone, and learning happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import train_sr
from procedural import image
from safetensors.torch import save_file
from torch.nn import functional

SCALE, SEED, IMAGES, STEPS = 2, 3, 6, 30


@pytest.fixture(scope="module")
def twice() -> Iterator[list[train_sr.Weights]]:
    """The weights of two equal runs."""
    threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    yield [train_sr.train(SCALE, SEED, STEPS, IMAGES)[0] for _ in range(2)]
    torch.set_num_threads(threads)
    cv2.setNumThreads(cv_threads)


def test_a_seed_gives_one_picture() -> None:
    first = image(11, size=96)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, image(11, size=96))
    assert not np.array_equal(first, image(12, size=96))


def test_the_pictures_are_not_flat() -> None:
    assert min(image(seed, size=96).std() for seed in range(5)) > 4


def test_a_run_gives_the_same_bytes_again(twice: list[train_sr.Weights], tmp_path: Path) -> None:
    for number, weights in enumerate(twice):
        save_file(weights, tmp_path / f"{number}.safetensors")
    assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "1.safetensors").read_bytes()


def test_the_loss_falls(twice: list[train_sr.Weights]) -> None:
    torch.manual_seed(SEED)
    start = train_sr.make_network(SCALE).state_dict()
    assert _loss(twice[0]) < 0.9 * _loss(start)


def test_an_orthogonal_update_has_singular_values_near_one() -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal((32, 288), np.float32))
    values = torch.linalg.svdvals(train_sr.orthogonal(matrix))
    assert 0.6 < values.min() <= values.max() < 1.3


def _loss(weights: train_sr.Weights) -> float:
    """Mean absolute error over the training pictures, whole and clean."""
    data = train_sr.make_data(SEED, IMAGES, SCALE)
    network = train_sr.make_network(SCALE)
    network.load_state_dict(weights)
    small, large = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 for pixels in (data.small, data.large))
    with torch.inference_mode():
        return float(functional.l1_loss(network(small), large))
