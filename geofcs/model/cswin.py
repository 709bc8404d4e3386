"""The CSWin transformer of SCanNet (arXiv 2107.00652, stripes one pixel wide), on channels-last maps (b, h, w, c)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.layers import ChannelNorm
from geofcs.model.vss import MLP

Along = Literal["columns", "rows"]

MLP_RATIO = 4
"""An MLP's hidden layer over its width."""


class StripeAttention(nn.Module):
    """Attention inside every column, or every row, of a map, plus a convolution of its values along the stripe.

    `around` has published 3x3 kernels, of which a stripe one pixel wide sees the middle column or row alone: the six
    other numbers do nothing and are kept so that checkpoints load and are saved as they are.
    """

    def __init__(self, width: int, heads: int, along: Along) -> None:
        super().__init__()
        self.heads = heads
        self.along = along
        self.around = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def taps(self) -> Tensor:
        """The three numbers per channel (width, 3) that weigh the values before, at and behind a position."""
        kernel = self.around.weight[:, 0]
        return kernel[:, :, 1] if self.along == "columns" else kernel[:, 1]

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries, keys and values, each (b, h, w, width) -> the same shape."""
        return attention_in_stripes(q, k, v, self.heads, self.along) + self._convolution(v)

    def _convolution(self, v: Tensor) -> Tensor:
        """Along the stripes of (b, h, w, width), zeros beyond their ends."""
        shape, padding = ((3, 1), (1, 0)) if self.along == "columns" else ((1, 3), (0, 1))
        taps = torch.unflatten(self.taps()[:, None], -1, shape)
        y = F.conv2d(v.permute(0, 3, 1, 2), taps, self.around.bias, padding=padding, groups=len(taps))
        return y.permute(0, 2, 3, 1)


class CSWinBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)); half of the heads look along columns, half along rows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = ChannelNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.columns = StripeAttention(width // 2, heads // 2, "columns")
        self.rows = StripeAttention(width // 2, heads // 2, "rows")
        self.join = nn.Linear(width, width)
        self.mlp_norm = ChannelNorm(width)
        self.mlp = MLP(width, MLP_RATIO * width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, width) -> the same."""
        qkv = self.qkv(self.attention_norm(x)).chunk(3, -1)
        of_columns, of_rows = zip(*(each.chunk(2, -1) for each in qkv), strict=True)
        x = x + self.join(torch.cat([self.columns(*of_columns), self.rows(*of_rows)], -1))
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


class ScanFormer(nn.Module):
    """An embedding of every position, CSWin blocks, and a norm. There is neither position code nor a path around it."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(width, width, 1)
        self.embedding_norm = ChannelNorm(width)
        self.blocks = nn.Sequential(*(CSWinBlock(width, heads) for _ in range(depth)))
        self.norm = ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(b, width, h, w), of any h and w -> the same."""
        embedded = self.embedding_norm(self.embedding(x).permute(0, 2, 3, 1))
        y: Tensor = self.norm(self.blocks(embedded))
        return y.permute(0, 3, 1, 2)


def attention_in_stripes(q: Tensor, k: Tensor, v: Tensor, heads: int, along: Along) -> Tensor:
    """Attention inside every column or row of maps (b, h, w, c): the same shape."""
    if along == "columns":
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        return attention_in_stripes(q, k, v, heads, "rows").transpose(1, 2)
    q, k, v = (torch.unflatten(each, -1, (heads, -1)).transpose(2, 3) for each in (q, k, v))
    one, two, three = (each.flatten(0, 1) for each in (q, k, v))  # (b h, heads, w, c / heads)
    return F.scaled_dot_product_attention(one, two, three).reshape(v.shape).transpose(2, 3).flatten(3)
