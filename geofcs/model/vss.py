"""The visual state-space block of VMamba (arXiv 2401.10166), on channels-last maps (b, h, w, c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geofcs.model.config import BlockConfig
from geofcs.model.layers import ChannelNorm, depthwise_silu, gelu_linear
from geofcs.model.ops import DIRECTIONS, projected_scan


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, zero a sample's whole branch with probability `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """The branch (b, ...), kept samples scaled so that the mean stays; unchanged in eval mode."""
        if not self.training or self.rate == 0:
            return branch
        keep = branch.new_empty(branch.shape[0], *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * keep / (1 - self.rate)


class SS2D(nn.Module):
    """The 2-D selective scan: widen, look around (3x3), scan in four directions, normalise, narrow.

    The step sizes come from a projection of rank R; the state of a channel is one number.
    """

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        width, scan_width, rank = config.width, config.scan_width, config.rank
        self.widen = nn.Linear(width, scan_width, bias=False)
        self.conv = nn.Conv2d(scan_width, scan_width, 3, padding=1, groups=scan_width, bias=False)
        self.factors_weight = nn.Parameter(torch.empty(DIRECTIONS, rank + 2, scan_width))
        self.dt_weight = nn.Parameter(torch.empty(DIRECTIONS, scan_width, rank))
        self.dt_bias = nn.Parameter(torch.empty(DIRECTIONS, scan_width))
        self.a_log = nn.Parameter(torch.empty(DIRECTIONS, scan_width))
        self.skip = nn.Parameter(torch.empty(DIRECTIONS, scan_width))
        self.norm = ChannelNorm(scan_width)
        self.narrow = nn.Linear(scan_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, width) -> the same."""
        image = depthwise_silu(self.widen(x), self.conv)
        y = projected_scan(image, self.factors_weight, self.dt_weight, self.dt_bias, self.a_log, self.skip)
        narrowed: Tensor = self.narrow(self.norm(y))
        return narrowed


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same."""
        return gelu_linear(self.widen(x), self.narrow)


class VSSBlock(nn.Module):
    """x + SS2D(norm(x)), then x + MLP(norm(x)), each branch under stochastic depth."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.scan_norm = ChannelNorm(config.width)
        self.scan = SS2D(config)
        self.mlp_norm = ChannelNorm(config.width)
        self.mlp = MLP(config.width, config.hidden)
        self.drop_path = DropPath(config.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, width) -> the same."""
        x = x + self.drop_path(self.scan(self.scan_norm(x)))
        y: Tensor = x + self.drop_path(self.mlp(self.mlp_norm(x)))
        return y
