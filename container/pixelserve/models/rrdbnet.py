"""RRDBNet, the network of ESRGAN and Real-ESRGAN's larger models.

The architecture and its parameter names are facts from ESRGAN (Wang et al., 2018), Real-ESRGAN (BSD-3-Clause) and
BasicSR (Apache-2.0), so that their files load; the code is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

RESIDUAL_WEIGHT = 0.2


class ResidualDenseBlock(nn.Module):
    """Five 3x3 convolutions, each seeing all that went before; (N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        for number in range(1, 5):
            grown = num_feat + (number - 1) * num_grow_ch
            setattr(self, f"conv{number}", nn.Conv2d(grown, num_grow_ch, 3, padding=1))
        self.conv5 = nn.Conv2d(num_feat + 4 * num_grow_ch, num_feat, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for number in range(1, 5):
            out = getattr(self, f"conv{number}")(torch.cat(seen, 1))
            seen.append(functional.leaky_relu(out, 0.2, inplace=True))
        residual: Tensor = self.conv5(torch.cat(seen, 1))
        return x + RESIDUAL_WEIGHT * residual


class RRDB(nn.Module):
    """Three residual dense blocks in a residual block."""

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb2 = ResidualDenseBlock(num_feat, num_grow_ch)
        self.rdb3 = ResidualDenseBlock(num_feat, num_grow_ch)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + RESIDUAL_WEIGHT * residual


class RRDBNet(nn.Module):
    """Takes float (N, num_in_ch, H, W) in [0, 1], gives (N, num_out_ch, H*scale, W*scale) of the same dtype; computed
    in that of the parameters.

    For scale 2 and 1 the input is pixel-unshuffled by 2 and 4 first, so H and W must be multiples of that.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.unshuffle = 4 // scale
        self.conv_first = nn.Conv2d(num_in_ch * self.unshuffle**2, num_feat, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(num_feat, num_grow_ch) for _ in range(num_block)))
        self.conv_body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_up1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_up2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shuffled = functional.pixel_unshuffle(x, self.unshuffle).to(self.conv_first.weight.dtype)
        features = self.conv_first(shuffled)
        features = features + self.conv_body(self.body(features))
        for up in (self.conv_up1, self.conv_up2):
            larger = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = functional.leaky_relu(up(larger), 0.2, inplace=True)
        out: Tensor = self.conv_last(functional.leaky_relu(self.conv_hr(features), 0.2, inplace=True))
        return out.to(x.dtype)
