"""The embedded networks' training: pictures and weights come from the seed alone, and learning happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from procedural import image
from safetensors.torch import save_file
from train_sr import train

STEPS = 20


@pytest.fixture(scope="module")
def twice() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [train(scale=2, seed=3, steps=STEPS, images=6) for _ in range(2)]


def test_a_seed_gives_one_picture() -> None:
    first = image(11, size=96)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, image(11, size=96))
    assert not np.array_equal(first, image(12, size=96))


def test_the_pictures_are_not_flat() -> None:
    assert min(image(seed, size=96).std() for seed in range(5)) > 4


def test_a_run_gives_the_same_bytes_again(twice: list[tuple[dict[str, Any], dict[str, Any]]], tmp_path: Path) -> None:
    for number, (weights, _) in enumerate(twice):
        save_file(weights, tmp_path / f"{number}.safetensors")
    assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "1.safetensors").read_bytes()


def test_the_loss_falls(twice: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    losses = twice[0][1]["l1"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
