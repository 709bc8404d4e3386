"""ResNet (arXiv 1512.03385) of basic blocks, with torchvision's tensor names, ending at stride 8: SCanNet's encoder.

Weights in torchvision's layout load as they are, but for the classifier `fc`, which this one lacks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.config import ResNetConfig

STRIDES = (1, 2, 1, 1)
"""Of the four layers. A classifier's are 1, 2, 2, 2: SCanNet leaves the last two out and puts no dilation there."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norms and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, ceil(h / stride), ceil(w / stride))."""
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(branch + shortcut)


class ResNet(nn.Module):
    """Four layers of basic blocks behind a convolution and a pool, each of stride 2."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        width, depths = config.width, config.depths
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            basic_blocks(inputs, width * 2**level, depth, stride)
            for level, (inputs, depth, stride) in enumerate(
                zip((width, width, 2 * width, 4 * width), depths, STRIDES, strict=True)
            )
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 3, h, w), normalised -> deep (b, 8 width, h / 8, w / 8) and low (b, width, h / 4, w / 4), rounded up."""
        low = self.layer1(self.pool(F.relu(self.bn1(self.conv1(image)))))
        return self.layer4(self.layer3(self.layer2(low))), low


def basic_blocks(inputs: int, outputs: int, depth: int, stride: int = 1) -> nn.Sequential:
    """`depth` basic blocks, the first of which changes channels and size."""
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(depth - 1)))
