"""The parts that maps are fused with: pyramid fusion, joint spatio-frequency fusion, residual blocks, guidance.

Most are of Mamba-FCS (doi 10.1109/JSTARS.2026.3663066); ChangeMamba shares `ConvNorm` and `ResidualBlock`. All maps are
(b, c, h, w).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQUEEZE = 16
"""Channels over hidden channels in both kinds of channel attention."""


class Dense(nn.Linear):
    """A linear layer that may have no outputs at all; `initialise` fills it."""

    def reset_parameters(self) -> None:
        """Nothing: torch would warn of layers without outputs."""


class ChannelMLP(nn.Module):
    """Pooled channels (b, c) to one weight per channel in (0, 1).

    With fewer than 16 channels the hidden layer is empty, as in the published checkpoints: the weights are then
    sigmoid(bias) whatever the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Dense(channels, channels // SQUEEZE)
        self.widen = Dense(channels // SQUEEZE, channels)

    def forward(self, pooled: Tensor) -> Tensor:
        """(b, c) -> (b, c)."""
        return torch.sigmoid(self.widen(F.relu(self.narrow(pooled))))


class ConvNorm(nn.Module):
    """A convolution that keeps the size, and a batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h, w)."""
        normalised: Tensor = self.norm(self.conv(x))
        return normalised


class PyramidFusion(nn.Module):
    """Looks at 1x1, 3x3 and 5x5 neighbourhoods, weighs channels, then positions, and adds a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.near = ConvNorm(inputs, outputs, 1, bias=True)
        self.middle = ConvNorm(inputs, outputs, 3, bias=True)
        self.around = nn.Conv2d(inputs, inputs, 5, padding=2, groups=inputs)
        self.far = ConvNorm(inputs, outputs, 1, bias=True)
        self.channel_attention = ChannelMLP(3 * outputs)
        self.spatial_attention = nn.Conv2d(2, 1, 7, padding=3)
        self.join = ConvNorm(3 * outputs, outputs, 1, bias=True)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h, w)."""
        scales = F.relu(torch.cat([self.near(x), self.middle(x), self.far(self.around(x))], 1))
        scales = scales * self._channel_weights(scales)
        scales = scales * torch.sigmoid(self.spatial_attention(torch.cat(_mean_and_max(scales), 1)))
        joined: Tensor = F.relu(self.join(scales)) + self.shortcut(x)
        return joined

    def _channel_weights(self, scales: Tensor) -> Tensor:
        """The sum of two sigmoids, so between 0 and 2: (b, c, 1, 1)."""
        weights: Tensor = self.channel_attention(scales.mean((2, 3))) + self.channel_attention(scales.amax((2, 3)))
        return weights[:, :, None, None]


class Amplitude(nn.Module):
    """The logarithm of a map's amplitude spectrum, mixed over channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = ConvNorm(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same; in float32 up to the logarithm, as half precision has no FFT of every size."""
        spectrum = torch.fft.fft2(x.to(torch.promote_types(x.dtype, torch.float32)), norm="ortho")
        return F.relu(self.mix(torch.log1p(spectrum.abs()).to(x.dtype)))


class ChannelGate(nn.Module):
    """Weighs channels by their averages and those of their neighbours (ECA, arXiv 1910.03151)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(abs(math.log2(channels) + 1) / 2)
        kernel += 1 - kernel % 2
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        weights = torch.sigmoid(self.conv(x.mean((2, 3))[:, None]))
        return x * weights[:, 0, :, None, None]


class SpatialGate(nn.Module):
    """Weighs positions by the maximum and the mean over channels, in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        mean, largest = _mean_and_max(x)
        return x * torch.sigmoid(self.conv(torch.cat([largest, mean], 1)))


class SpatioFrequencyFusion(nn.Module):
    """Joint spatio-frequency fusion of the two dates' maps: values, log amplitudes and the difference, gated.

    Without `fft` (an ablation of the paper) the amplitudes are left out.
    """

    def __init__(self, channels: int, *, fft: bool) -> None:
        super().__init__()
        self.amplitudes = nn.ModuleList([Amplitude(channels), Amplitude(channels)] if fft else [])
        self.reduce = ConvNorm((5 if fft else 3) * channels, channels, 1, bias=False)
        self.channel_gate = ChannelGate(channels)
        self.spatial_gate = SpatialGate()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two maps (b, c, h, w) -> one."""
        parts = [a, b, (a - b).abs()]
        if self.amplitudes:
            of_a, of_b = self.amplitudes
            parts = [a, of_a(a), b, of_b(b), (a - b).abs()]
        fused: Tensor = self.spatial_gate(self.channel_gate(F.relu(self.reduce(torch.cat(parts, 1)))))
        return fused


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and, if `excited`, a squeeze-excitation (arXiv 1709.01507) around a shortcut."""

    def __init__(self, channels: int, *, excited: bool) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3, bias=False)
        self.second = ConvNorm(channels, channels, 3, bias=False)
        self.excitation = ChannelMLP(channels) if excited else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        branch = self.second(F.relu(self.first(x)))
        if self.excitation is not None:
            branch = branch * self.excitation(branch.mean((2, 3)))[:, :, None, None]
        return F.relu(x + branch)


def guided(feature: Tensor, guide: Tensor) -> Tensor:
    """Change-guided attention: the feature where the change decoder's map of the same size says that it matters."""
    return feature * torch.sigmoid(guide)


def _mean_and_max(x: Tensor) -> tuple[Tensor, Tensor]:
    """Over channels: two maps (b, 1, h, w)."""
    return x.mean(1, keepdim=True), x.amax(1, keepdim=True)
