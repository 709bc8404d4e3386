"""The fusing parts of `geofcs.model.fusion`, prepared for inference; maps are (b, h, w, c) throughout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.fusion import Amplitude, ChannelMLP, ConvNorm, PyramidFusion, ResidualBlock, SpatioFrequencyFusion
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.folding import Convolution, Product, folded, parts

EVEN_CHANNELS = 8
"""Heads are padded to multiples of so many channels, which products and kernels are made for."""


class Scales:
    """The three neighbourhoods that a pyramid looks at, weighed by channel attention, and the gates of positions.

    The gate is one number per position, so it commutes with the joining product and is applied behind it. `padding`
    channels of zeros are added to each neighbourhood, which changes nothing but their number.
    """

    def __init__(self, pyramid: PyramidFusion, dtype: torch.dtype, padding: int = 0) -> None:
        self._near, self._far = (Product(*_padded(layer, padding), dtype) for layer in (pyramid.near, pyramid.far))
        self._middle = Convolution(pyramid.middle, dtype, padding=padding)
        self._around, self._around_bias = _filters(pyramid.around)
        self._attention = ChannelAttention(pyramid.channel_attention, padding)
        self._spatial, self._spatial_bias = _pair_filters(pyramid.spatial_attention)
        outputs = pyramid.near.conv.out_channels
        self._spatial[..., 0] *= (outputs + padding) / outputs  # the mean counts the zeros

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(b, h, w, inputs) -> weighed neighbourhoods (b, h, w, 3 outputs) and gates (b, h, w)."""
        fused = pointwise_for(x)
        far = self._far.relu(fused.depthwise(x, self._around, self._around_bias))
        scales = [self._near.relu(x), self._middle.relu(x), far]
        weighed, statistics = fused.weigh(scales, self._attention(*fused.pools(scales)))
        return weighed, fused.gate(statistics, self._spatial, self._spatial_bias)


class ChannelAttention:
    """`PyramidFusion`'s weights of the channels of three neighbourhoods."""

    def __init__(self, mlp: ChannelMLP, padding: int) -> None:
        narrow, widen = mlp.narrow.weight.detach(), mlp.widen.weight.detach()
        outputs, hidden = len(widen) // 3, len(narrow)  # of which there may be none
        self._narrow = F.pad(narrow.view(hidden, 3, outputs), (0, padding)).flatten(1)
        self._widen = F.pad(widen.view(3, outputs, hidden), (0, 0, 0, padding)).flatten(0, 1)
        self._narrow_bias = mlp.narrow.bias.detach()
        self._widen_bias = F.pad(mlp.widen.bias.detach().view(3, -1), (0, padding)).flatten()

    def __call__(self, mean: Tensor, largest: Tensor) -> Tensor:
        """The sum of two sigmoids, of pooled channels (b, c): (b, c)."""
        hidden = F.relu_(F.linear(torch.cat([mean, largest]), self._narrow, self._narrow_bias))
        of_mean, of_largest = F.linear(hidden, self._widen, self._widen_bias).sigmoid_().chunk(2)
        return of_mean + of_largest


class Pyramid:
    """`fusion.PyramidFusion`."""

    def __init__(self, pyramid: PyramidFusion, dtype: torch.dtype) -> None:
        self._scales = Scales(pyramid, dtype)
        weight, self._bias = folded(pyramid.join)
        self._join = Product(weight.flatten(1), None, dtype)
        self._shortcut = None if isinstance(pyramid.shortcut, nn.Identity) else Product.of(pyramid.shortcut, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, h, w, outputs)."""
        weighed, gates = self._scales(x)
        shortcut = x if self._shortcut is None else self._shortcut(x)
        result: Tensor = pointwise_for(x).gated_relu_add(self._join(weighed), gates, self._bias, shortcut)
        return result


class Head:
    """A pyramid that ends in logits: its last products are float32, and enlarged to the image's size."""

    def __init__(self, pyramid: PyramidFusion, dtype: torch.dtype) -> None:
        self._classes = pyramid.near.conv.out_channels
        padding = -self._classes % EVEN_CHANNELS
        self._scales = Scales(pyramid, dtype, padding)
        weight, self._bias = _padded(pyramid.join, padding)
        weight = F.pad(weight.view(len(weight), 3, -1), (0, padding)).flatten(1)
        self._join = Product(weight, None, dtype)
        shortcut = pyramid.shortcut
        if isinstance(shortcut, nn.Identity):
            raise ValueError("a head has fewer classes than its input has channels")
        self._shortcut = Product(*_padded(shortcut, padding), dtype)

    def __call__(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """(b, h, w, c) -> logits (b, classes, height, width)."""
        weighed, gates = self._scales(x)
        fused = pointwise_for(x)
        logits = fused.gated_relu_add(self._join.wide(weighed), gates, self._bias, self._shortcut.wide(x))
        enlarged: Tensor = fused.enlarge_logits(logits, self._classes, *size)
        return enlarged


class PointHead:
    """A 1x1 convolution that ends in logits, float32, enlarged to the image's size."""

    def __init__(self, head: nn.Conv2d, dtype: torch.dtype) -> None:
        self._classes = head.out_channels
        self._product = Product(*_padded(head, -self._classes % EVEN_CHANNELS), dtype)

    def __call__(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """(b, h, w, c) -> logits (b, classes, height, width)."""
        enlarged: Tensor = pointwise_for(x).enlarge_logits(self._product.wide(x), self._classes, *size)
        return enlarged


class DateFusion:
    """`fusion.SpatioFrequencyFusion`, and what a ladder adds to it."""

    def __init__(self, fusion: SpatioFrequencyFusion, dtype: torch.dtype) -> None:
        self._mix = [Product.of(amplitude.mix, dtype) for amplitude in parts(fusion.amplitudes, Amplitude)]
        self._reduce = Product.of(fusion.reduce, dtype)
        self._channel_kernel = fusion.channel_gate.conv.weight.detach().float()
        weight = fusion.spatial_gate.conv.weight.detach().float()[0]
        # The module looks at maximum and mean, `weigh` gives mean and maximum.
        self._spatial = weight.flip(0).permute(1, 2, 0).contiguous()
        self._no_bias = weight.new_zeros(1)

    def __call__(self, both: Tensor, coarse: Tensor | None) -> Tensor:
        """Both dates' maps (2b, h, w, c) -> one (b, h, w, c), plus `coarse` enlarged."""
        fused = pointwise_for(both)
        reduced = [self._reduce.relu(fused.join_dates(both, self._amplitudes(both)))]
        mean, _ = fused.pools(reduced)
        padding = self._channel_kernel.shape[-1] // 2
        weights = torch.sigmoid(F.conv1d(mean[:, None], self._channel_kernel, padding=padding))[:, 0]
        weighed, statistics = fused.weigh(reduced, weights)
        result: Tensor = fused.gated_add(weighed, fused.gate(statistics, self._spatial, self._no_bias), coarse)
        return result

    def _amplitudes(self, both: Tensor) -> Tensor | None:
        """Half of each date's mixed log amplitudes (2, b, h, w // 2 + 1, c): what they mirror is left out."""
        if not self._mix:
            return None
        fused = pointwise_for(both)
        spectrum = torch.fft.rfft2(fused.to_planes(both))
        orthonormal = (both.shape[1] * both.shape[2]) ** -0.5
        halves = fused.log_amplitudes(spectrum, orthonormal, both.dtype).chunk(2)
        return torch.stack([mix.relu(half) for mix, half in zip(self._mix, halves, strict=True)])


class Residual:
    """`fusion.ResidualBlock`."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype) -> None:
        self._first, self._second = Convolution(block.first, dtype), Convolution(block.second, dtype)
        self._excitation = None if block.excitation is None else block.excitation.requires_grad_(False)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, c) -> the same."""
        fused = pointwise_for(x)
        branch, bias = self._second(self._first.relu(x)), self._second.bias
        result: Tensor = fused.weighed_add_relu(x, branch, self._weights(branch, bias), bias)
        return result

    def _weights(self, branch: Tensor, bias: Tensor) -> Tensor:
        """What the branch's channels count: (b, c), float32."""
        if self._excitation is None:
            return bias.new_ones(branch.shape[0], branch.shape[-1])
        mean, _ = pointwise_for(branch).pools([branch])
        weights: Tensor = self._excitation(mean + bias)
        return weights


def _padded(layer: nn.Conv2d | ConvNorm, padding: int) -> tuple[Tensor, Tensor]:
    """Weight (outputs, inputs) and bias of a 1x1 convolution, with `padding` outputs of zeros behind."""
    weight, bias = folded(layer)
    return F.pad(weight.flatten(1), (0, 0, 0, padding)), F.pad(bias, (0, padding))


def _filters(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """A depthwise convolution's weight (k, k, c) and bias (c)."""
    weight, bias = folded(layer)
    return weight[:, 0].float().permute(1, 2, 0).contiguous(), bias.float()


def _pair_filters(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (k, k, 2) and bias (1) of a convolution of two maps into one."""
    weight, bias = folded(layer)
    return weight[0].float().permute(1, 2, 0).contiguous(), bias.float()
