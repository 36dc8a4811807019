"""SRVGGNetCompact, the compact network of Real-ESRGAN's general and anime-video models.

The architecture and its parameter names are facts from Real-ESRGAN (Wang et al., 2021; BSD-3-Clause) and BasicSR
(Apache-2.0), so that their files load; the code is ours.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SRVGGNetCompact(nn.Module):
    """Convolutions at input size, one pixel shuffle, added to the nearest-neighbour enlargement of the input.

    Takes float (N, num_in_ch, H, W) in [0, 1], gives (N, num_out_ch, H*upscale, W*upscale) of the same dtype; only the
    convolutions are computed in that of the parameters. `body` alternates 3x3
    convolutions and activations: the first convolution, `num_conv` more, and the last one without activation.
    Raises ValueError for an `act_type` other than relu, prelu and leakyrelu.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: str = "prelu",
    ) -> None:
        super().__init__()
        self.num_in_ch = num_in_ch
        self.num_out_ch = num_out_ch
        self.num_feat = num_feat
        self.num_conv = num_conv
        self.upscale = upscale
        self.act_type = act_type
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch, num_feat, 3, padding=1), _activation(act_type, num_feat)]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, padding=1), _activation(act_type, num_feat)]
        layers.append(nn.Conv2d(num_feat, num_out_ch * upscale * upscale, 3, padding=1))
        self.body = nn.ModuleList(layers)
        self.upsampler = nn.PixelShuffle(upscale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x.to(next(self.parameters()).dtype)
        for layer in self.body:
            out = layer(out)
        out = self.upsampler(out.to(x.dtype))
        out += functional.interpolate(x, scale_factor=self.upscale, mode="nearest")
        return out


def _activation(act_type: str, num_feat: int) -> nn.Module:
    if act_type == "prelu":
        return nn.PReLU(num_parameters=num_feat)
    if act_type == "relu":
        return nn.ReLU(inplace=True)
    if act_type == "leakyrelu":
        return nn.LeakyReLU(negative_slope=0.1, inplace=True)
    raise ValueError(f"act_type is {act_type!r}: take relu, prelu or leakyrelu.")
