"""GFPGANv1Clean against the real class of the package gfpgan 1.3.8, with the same random weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelserve.models.gfpgan import GFPGANv1Clean

OPTIONS = {"channel_multiplier": 2, "fix_decoder": False, "input_is_latent": True, "different_w": True,
           "sft_half": True}  # fmt: skip
"""Those of GFPGAN's own restorer."""


def test_the_official_layout(gfpgan: type[nn.Module]) -> None:
    """Names and shapes of the published files, in their order."""
    with torch.device("meta"):
        ours, real = (
            {name: tuple(value.shape) for name, value in network.state_dict().items()}
            for network in (GFPGANv1Clean(), gfpgan(512, **OPTIONS))
        )
        count = sum(parameter.numel() for parameter in GFPGANv1Clean().parameters())
    assert list(ours.items()) == list(real.items())
    assert count == 86_444_252


@pytest.mark.parametrize("size", [8, 16])
def test_equals_the_real_class(gfpgan: type[nn.Module], size: int) -> None:
    """Smaller than published, with as many channels."""
    torch.manual_seed(6)
    real, ours = gfpgan(size, **OPTIONS).eval(), GFPGANv1Clean(size).eval()
    for name, parameter in real.named_parameters():
        if parameter.numel() == 1 or name.endswith("bias"):  # noise and biases begin at 0
            nn.init.normal_(parameter)
    ours.load_state_dict(real.state_dict())
    faces = torch.rand(2, 3, size, size) * 2 - 1
    with torch.inference_mode():
        expected = real(faces, randomize_noise=False)[0]
        given = ours(faces)
        assert torch.equal(given, ours(faces))
    assert expected.std() > 0.1
    assert (given - expected).abs().max() <= 1e-5 * expected.abs().max()
