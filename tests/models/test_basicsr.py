"""Our networks against the real basicsr classes: parameter by parameter, output by output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bordered import reference, rounded
from drawing import picture
from torch import nn

from pixelserve.imaging.image import Image
from pixelserve.models.checkpoints import read_state_dict
from pixelserve.models.networks import load_network
from pixelserve.models.rrdbnet import RRDBNet
from pixelserve.models.srvgg import SRVGGNetCompact
from pixelserve.models.super_resolution import Upscaler
from pixelserve.settings import Settings


def test_the_published_sizes(basicsr: dict[str, type[nn.Module]]) -> None:
    real = basicsr["RRDBNet"](num_in_ch=3, num_out_ch=3, scale=4), basicsr["SRVGGNetCompact"](num_conv=32)
    ours = RRDBNet(), SRVGGNetCompact(num_conv=32)
    assert [_count(network) for network in ours] == [_count(network) for network in real] == [16_697_987, 1_213_296]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdbnet_equals_the_real_class(basicsr: dict[str, type[nn.Module]], scale: int) -> None:
    sizes = {"num_in_ch": 3, "num_out_ch": 3, "scale": scale, "num_feat": 16, "num_block": 2, "num_grow_ch": 8}
    _assert_equal(basicsr["RRDBNet"](**sizes), RRDBNet(**sizes))


@pytest.mark.parametrize("act_type", ["prelu", "relu", "leakyrelu"])
@pytest.mark.parametrize("upscale", [2, 4])
def test_srvgg_equals_the_real_class(basicsr: dict[str, type[nn.Module]], upscale: int, act_type: str) -> None:
    sizes = {"num_feat": 16, "num_conv": 4, "upscale": upscale}
    _assert_equal(basicsr["SRVGGNetCompact"](**sizes, act_type=act_type), SRVGGNetCompact(**sizes, act_type=act_type))


@pytest.mark.parametrize(("name", "convolutions"), [("realesr-general-x4v3", 32), ("realesr-animevideov3", 16)])
def test_published_weights_give_what_the_real_class_gives(
    basicsr: dict[str, type[nn.Module]], assets: Path, tmp_path: Path, name: str, convolutions: int
) -> None:
    path = assets / "sr" / f"{name}.pth"
    real = basicsr["SRVGGNetCompact"](num_conv=convolutions).eval()
    real.load_state_dict(read_state_dict(path))
    ours, info = load_network(path)
    assert (info.architecture, info.scale, info.reach) == ("SRVGGNetCompact", 4, convolutions + 2)
    pixels = picture(70, 90)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        expected = real(planes)
        assert (ours(planes) - expected).abs().max() <= 1 / 255
    (tmp_path / path.name).symlink_to(path.resolve())
    served = Upscaler.load(str(tmp_path), Settings(runtime="torch", dtype="float32", tile=40)).upscale(Image(pixels), 4)
    assert np.abs(served.pixels - rounded(reference(real, pixels, 4))).max() <= 1


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _assert_equal(real: nn.Module, ours: nn.Module) -> None:
    real_state, our_state = real.state_dict(), ours.state_dict()
    assert {name: value.shape for name, value in our_state.items()} == {
        name: value.shape for name, value in real_state.items()
    }
    ours.load_state_dict(real_state)
    torch.manual_seed(5)
    planes = torch.rand(2, 3, 24, 20)
    with torch.inference_mode():
        assert (ours.eval()(planes) - real.eval()(planes)).abs().max() <= 1e-5
