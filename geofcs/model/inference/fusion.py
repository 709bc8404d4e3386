"""The fusing parts of `geofcs.model.fusion`, prepared for inference; maps are (b, h, w, c) throughout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.fusion import ChannelMLP, PyramidFusion, ResidualBlock, SpatioFrequencyFusion
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.folding import Convolution, Product, folded


class Pyramid:
    """`fusion.PyramidFusion`.

    The spatial gate is one number per position, so it commutes with the joining product and is applied behind it.
    """

    def __init__(self, pyramid: PyramidFusion, dtype: torch.dtype) -> None:
        self._near, self._middle = Product.of(pyramid.near, dtype), Convolution(pyramid.middle, dtype)
        self._around, self._around_bias = _filters(pyramid.around)
        self._far = Product.of(pyramid.far, dtype)
        self._attention = pyramid.channel_attention
        self._spatial, self._spatial_bias = _pair_filters(pyramid.spatial_attention)
        weight, self._bias = folded(pyramid.join)
        self._join = Product(weight.flatten(1), None, dtype)
        self._shortcut = None if isinstance(pyramid.shortcut, nn.Identity) else Product.of(pyramid.shortcut, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, h, w, outputs)."""
        fused = pointwise_for(x)
        far = self._far.relu(fused.depthwise(x, self._around, self._around_bias))
        scales = [self._near.relu(x), self._middle.relu(x), far]
        weighed, statistics = fused.weigh(scales, _channel_weights(self._attention, *fused.pools(scales)))
        gates = fused.gate(statistics, self._spatial, self._spatial_bias)
        shortcut = x if self._shortcut is None else self._shortcut(x)
        fused_maps: Tensor = fused.gated_relu_add(self._join(weighed), gates, self._bias, shortcut)
        return fused_maps


class Head:
    """A pyramid that ends in logits: in float32 throughout, and enlarged."""

    def __init__(self, pyramid: PyramidFusion) -> None:
        self._pyramid = Pyramid(pyramid, torch.float32)

    def __call__(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """(b, h, w, c) -> logits (b, classes, height, width)."""
        logits: Tensor = pointwise_for(x).enlarge_logits(self._pyramid(x.float()), *size)
        return logits


class DateFusion:
    """`fusion.SpatioFrequencyFusion`, and what a ladder adds to it."""

    def __init__(self, fusion: SpatioFrequencyFusion, dtype: torch.dtype) -> None:
        self._mix = [Product.of(amplitude.mix, dtype) for amplitude in fusion.amplitudes]
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
        spectrum = torch.fft.rfft2(fused.to_planes(both), norm="ortho")
        halves = fused.log_amplitudes(spectrum, both.dtype).chunk(2)
        return torch.stack([mix.relu(half) for mix, half in zip(self._mix, halves, strict=True)])


class Residual:
    """`fusion.ResidualBlock`."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype) -> None:
        self._first, self._second = Convolution(block.first, dtype), Convolution(block.second, dtype)
        self._excitation = block.excitation

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, c) -> the same."""
        fused = pointwise_for(x)
        branch = self._second(self._first.relu(x))
        mean, _ = fused.pools([branch])
        result: Tensor = fused.weighed_add_relu(x, branch, _excite(self._excitation, mean))
        return result


def _channel_weights(attention: ChannelMLP, mean: Tensor, largest: Tensor) -> Tensor:
    """`PyramidFusion`'s: the sum of two sigmoids."""
    of_mean, of_largest = _excite(attention, torch.cat([mean, largest])).chunk(2)
    return of_mean + of_largest


def _excite(attention: ChannelMLP, pooled: Tensor) -> Tensor:
    weights: Tensor = attention(pooled)
    return weights


def _filters(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """A depthwise convolution's weight (k, k, c) and bias (c)."""
    weight, bias = folded(layer)
    return weight[:, 0].float().permute(1, 2, 0).contiguous(), bias.float()


def _pair_filters(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight (k, k, 2) and bias (1) of a convolution of two maps into one."""
    weight, bias = folded(layer)
    return weight[0].float().permute(1, 2, 0).contiguous(), bias.float()
