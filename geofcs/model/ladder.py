"""What every decoder here climbs, from the deepest map to the shallowest, and the way from a decoder to logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Ladder(nn.Module):
    """From the deepest map to the shallowest: narrow, enlarge, add the next level's map, smooth, VSS block.

    Lists of parts go by the level they work at, 0 being the shallowest: a block (on channels-last maps) for each of the
    four, a narrowing and a smoothing for each but the deepest. `nn.Identity` is a part that a model does without.
    """

    def __init__(
        self, blocks: Iterable[nn.Module], narrowings: Iterable[nn.Module], smoothings: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.blocks, self.narrowings = nn.ModuleList(blocks), nn.ModuleList(narrowings)
        self.smoothings = nn.ModuleList(smoothings)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (b, c, h, w), shallowest first -> the outputs of the four levels, of the same shapes."""
        x = self._block(maps[-1], len(maps) - 1)
        outputs = [x]
        for level in reversed(range(len(maps) - 1)):
            enlarged = enlarge(self.narrowings[level](x), maps[level].shape[-2:])
            x = self._block(self.smoothings[level](enlarged + maps[level]), level)
            outputs.insert(0, x)
        return outputs

    def _block(self, x: Tensor, level: int) -> Tensor:
        y: Tensor = self.blocks[level](x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear up-sampling to (height, width); corners are not aligned."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def logits_at(head: nn.Module, decoded: Tensor, size: Sequence[int]) -> Tensor:
    """A head's answer at the image's size, computed in float32 at least even under autocast."""
    with torch.autocast(decoded.device.type, enabled=False):
        return enlarge(head(decoded.to(torch.promote_types(decoded.dtype, torch.float32))), size)
