"""GFPGANv1Clean, the network of GFPGAN 1.3 and 1.4 that restores faces.

The architecture and its parameter names are facts from GFPGAN (Wang et al., 2021; Apache-2.0), whose decoder is that of
StyleGAN2 (Karras et al., 2020), so that their files load; the code is ours. A convolution modulated by a style is
computed as a plain one between two scalings, which is the same and keeps the weights constant.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 512
"""Edge of the faces that the published files take and give, in pixels."""
STYLE_CHANNELS = 512
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}
"""Of the decoder by its features' edge; the encoder has half of them."""
SLOPE = 0.2


def _resampled(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _rectified(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


class ResBlock(nn.Module):
    """(N, in_channels, H, W) to (N, out_channels, H * factor, W * factor)."""

    def __init__(self, in_channels: int, out_channels: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = _resampled(_rectified(self.conv1(x)), self.factor)
        skipped: Tensor = self.skip(_resampled(x, self.factor))
        return _rectified(self.conv2(out)) + skipped


class ModulatedConv(nn.Module):
    """A convolution whose input channels a style (N, STYLE_CHANNELS) weights; demodulated to keep the variance."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, demodulate: bool) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.modulation = nn.Linear(STYLE_CHANNELS, in_channels)
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        weight = self.weight[0]
        scale = self.modulation(style)
        out = functional.conv2d(x * scale[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return out
        energy = scale.square() @ weight.square().sum((2, 3)).T
        return out * torch.rsqrt(energy + 1e-8)[:, :, None, None]


class StyleConv(nn.Module):
    """A modulated convolution, after which stored noise (1, 1, H, W) is added."""

    def __init__(self, in_channels: int, out_channels: int, upsamples: bool) -> None:
        super().__init__()
        self.upsamples = upsamples
        self.modulated_conv = ModulatedConv(in_channels, out_channels, 3, demodulate=True)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        out = self.modulated_conv(_resampled(x, 2) if self.upsamples else x, style) * 2**0.5
        return _rectified(out + self.weight * noise + self.bias)


class ToRGB(nn.Module):
    """Features to their share of the picture."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(in_channels, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        out: Tensor = self.modulated_conv(x, style)
        return out + self.bias


class _Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, CHANNELS[4], 4, 4))


class Decoder(nn.Module):
    """StyleGAN2, half of whose features at each size are scaled and shifted by the encoder's conditions."""

    def __init__(self, out_size: int) -> None:
        super().__init__()
        edges = [edge for edge in CHANNELS if edge <= out_size]
        linear = [(nn.Linear(STYLE_CHANNELS, STYLE_CHANNELS), nn.LeakyReLU(SLOPE)) for _ in range(8)]
        self.style_mlp = nn.Sequential(nn.Identity(), *(layer for pair in linear for layer in pair))
        """Of the published files, which hold it; GFPGAN gives the decoder latent codes, which need none."""
        self.constant_input = _Constant()
        self.style_conv1 = StyleConv(CHANNELS[4], CHANNELS[4], upsamples=False)
        self.to_rgb1 = ToRGB(CHANNELS[4])
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList(ToRGB(CHANNELS[edge]) for edge in edges[1:])
        self.noises = nn.Module()
        self.noises.register_buffer("noise0", torch.randn(1, 1, 4, 4))
        for number, (before, edge) in enumerate(pairwise(edges)):
            self.style_convs.append(StyleConv(CHANNELS[before], CHANNELS[edge], upsamples=True))
            self.style_convs.append(StyleConv(CHANNELS[edge], CHANNELS[edge], upsamples=False))
            for layer in (2 * number + 1, 2 * number + 2):
                self.noises.register_buffer(f"noise{layer}", torch.randn(1, 1, edge, edge))

    def forward(self, styles: Tensor, scales: list[Tensor], shifts: list[Tensor]) -> Tensor:
        noises = list(self.noises.buffers())
        features = self.style_conv1(self.constant_input.weight.expand(len(styles), -1, -1, -1), styles[:, 0], noises[0])
        picture: Tensor = self.to_rgb1(features, styles[:, 1])
        for number, (scale, shift) in enumerate(zip(scales, shifts, strict=True)):
            layer = 2 * number + 1
            features = self.style_convs[layer - 1](features, styles[:, layer], noises[layer])
            kept, steered = features.chunk(2, dim=1)
            features = torch.cat([kept, steered * scale + shift], dim=1)
            features = self.style_convs[layer](features, styles[:, layer + 1], noises[layer + 1])
            picture = _resampled(picture, 2) + self.to_rgbs[number](features, styles[:, layer + 2])
        return picture


class GFPGANv1Clean(nn.Module):
    """Takes and gives float faces (N, 3, out_size, out_size), RGB in [-1, 1] (the result may exceed that a little).

    Deterministic: the noise is that stored in the file.
    """

    def __init__(self, out_size: int = SIZE) -> None:
        super().__init__()
        half = {edge: channels // 2 for edge, channels in CHANNELS.items() if edge <= out_size}
        larger = list(half)[1:]
        self.conv_body_first = nn.Conv2d(3, half[out_size], 1)
        self.conv_body_down = nn.ModuleList(ResBlock(half[edge], half[edge // 2], 0.5) for edge in reversed(larger))
        self.final_conv = nn.Conv2d(half[4], half[4], 3, padding=1)
        self.conv_body_up = nn.ModuleList(ResBlock(half[edge // 2], half[edge], 2) for edge in larger)
        self.toRGB = nn.ModuleList(nn.Conv2d(half[edge], 3, 1) for edge in larger)
        """Of the published files; only training uses it."""
        self.final_linear = nn.Linear(half[4] * 4 * 4, 2 * len(half) * STYLE_CHANNELS)
        self.stylegan_decoder = Decoder(out_size)
        self.condition_scale = nn.ModuleList(_condition(half[edge]) for edge in larger)
        self.condition_shift = nn.ModuleList(_condition(half[edge]) for edge in larger)

    def forward(self, faces: Tensor) -> Tensor:
        features = _rectified(self.conv_body_first(faces))
        skips = []
        for down in self.conv_body_down:
            features = down(features)
            skips.append(features)
        features = _rectified(self.final_conv(features))
        styles = self.final_linear(features.flatten(1)).unflatten(1, (-1, STYLE_CHANNELS))
        scales, shifts = [], []
        for number, up in enumerate(self.conv_body_up):
            features = up(features + skips.pop())
            scales.append(self.condition_scale[number](features))
            shifts.append(self.condition_shift[number](features))
        picture: Tensor = self.stylegan_decoder(styles, scales, shifts)
        return picture


def _condition(channels: int) -> nn.Module:
    convolutions = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
    return nn.Sequential(convolutions[0], nn.LeakyReLU(SLOPE), convolutions[1])
