"""ResNet-18 up to its pooled features (He et al. 2016), its parameters named as torchvision names them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

FEATURES = (64, 128, 256, 512)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    """(N, 3, H, W) to (N, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, FEATURES[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(FEATURES[0])
        inputs = FEATURES[0]
        for number, outputs in enumerate(FEATURES, start=1):
            stride = 1 if number == 1 else 2
            layer = nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
            self.add_module(f"layer{number}", layer)
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, len(FEATURES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3))
