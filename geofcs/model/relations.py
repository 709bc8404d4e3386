"""The three relations of two dates that ChangeMamba scans (arXiv 2404.03425): stacked, interleaved, side by side.

Both dates travel as one batch, T1 first. Maps are (b, h, w, c) here; the convolution before a scan looks at each pixel
alone, so it comes before the rearranging where that moves fewer channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.config import BlockConfig
from geofcs.model.fusion import ConvNorm
from geofcs.model.vss import VSSBlock

MAPS = 5
"""What the relations give: one map of both dates stacked, two of either of the others."""


def stacked(both: Tensor) -> Tensor:
    """(2b, h, w, c) -> (b, h, w, 2c): T1's channels, then T2's."""
    return torch.cat(both.chunk(2), -1)


def interleaved(both: Tensor) -> Tensor:
    """(2b, h, w, c) -> (b, h, 2w, c): columns of the dates take turns, T1's first."""
    return torch.stack(both.chunk(2), 3).flatten(2, 3)


def side_by_side(both: Tensor) -> Tensor:
    """(2b, h, w, c) -> (b, h, 2w, c): T1 on the left, T2 on the right."""
    return torch.cat(both.chunk(2), 2)


class Relation(nn.Module):
    """A 1x1 convolution and a VSS block."""

    def __init__(self, inputs: int, config: BlockConfig) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inputs, config.width, 1)
        self.block = VSSBlock(config)

    def mixed(self, x: Tensor) -> Tensor:
        """The convolution alone: (b, h, w, inputs) -> (b, h, w, width)."""
        y: Tensor = self.mix(x.permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1)


class DateRelations(nn.Module):
    """One level of the change decoder: the three relations of two maps, fused."""

    def __init__(self, channels: int, config: BlockConfig) -> None:
        super().__init__()
        self.stacked = Relation(2 * channels, config)
        self.interleaved = Relation(channels, config)
        self.side_by_side = Relation(channels, config)
        self.fuse = ConvNorm(MAPS * config.width, config.width, 1, bias=True)

    def forward(self, both: Tensor) -> Tensor:
        """Both dates (2b, c, h, w) -> (b, width, h, w)."""
        maps = torch.cat(self.maps(both.permute(0, 2, 3, 1)), -1)
        return F.relu(self.fuse(maps.permute(0, 3, 1, 2)))

    def maps(self, both: Tensor) -> list[Tensor]:
        """(2b, h, w, c) -> five maps (b, h, w, width): of both dates, then each date's out of two relations."""
        together: Tensor = self.stacked.block(self.stacked.mixed(stacked(both)))
        turns = self.interleaved.block(interleaved(self.interleaved.mixed(both)))
        halves = self.side_by_side.block(side_by_side(self.side_by_side.mixed(both)))
        return [together, *turns.unflatten(2, (-1, 2)).unbind(3), *halves.chunk(2, 2)]
