"""The ResNet of `geofcs.model.resnet`, prepared for inference; maps are (b, h, w, c) throughout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geofcs.model.inference.folding import Convolution, Normed, parts
from geofcs.model.inference.pointwise import IMAGE_CHANNELS
from geofcs.model.resnet import BasicBlock, ResNet


class PreparedBlock:
    """`resnet.BasicBlock`."""

    def __init__(self, block: BasicBlock, dtype: torch.dtype) -> None:
        self._first = Convolution(Normed(block.conv1, block.bn1), dtype)
        self._second = Convolution(Normed(block.conv2, block.bn2), dtype)
        self._shortcut = None
        if block.downsample is not None:
            conv, norm = block.downsample.children()
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            self._shortcut = Convolution(Normed(conv, norm), dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, h / stride, w / stride, outputs)."""
        shortcut = x if self._shortcut is None else self._shortcut.biased(x)
        return self._second.add_relu(self._first.relu(x), shortcut)


class PreparedBlocks:
    """Basic blocks, one after the other."""

    def __init__(self, blocks: nn.Sequential, dtype: torch.dtype) -> None:
        self._blocks = [PreparedBlock(block, dtype) for block in parts(blocks, BasicBlock)]

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, h / stride, w / stride, outputs)."""
        for block in self._blocks:
            x = block(x)
        return x


class PreparedResNet:
    """`resnet.ResNet`."""

    def __init__(self, net: ResNet, dtype: torch.dtype) -> None:
        self._first, self._pool = Convolution(Normed(net.conv1, net.bn1), dtype, inputs=IMAGE_CHANNELS), net.pool
        self._shallow = PreparedBlocks(net.layer1, dtype)
        self._deep = [PreparedBlocks(layer, dtype) for layer in (net.layer2, net.layer3, net.layer4)]

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (b, h, w, 8) -> the deep map at stride 8 and the low one at stride 4."""
        pooled = self._pool(self._first.relu(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        low = deep = self._shallow(pooled.contiguous())
        for blocks in self._deep:
            deep = blocks(deep)
        return deep, low
