"""The decoders: one ladder from the deepest level up, fed with fused dates (change) or guided features (land cover)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.config import BlockConfig, MambaFCSConfig
from geofcs.model.fusion import PyramidFusion, ResidualBlock, SpatioFrequencyFusion, guided
from geofcs.model.vss import VSSBlock


class Ladder(nn.Module):
    """From the deepest map to the shallowest: narrow, enlarge, add the next level's map, smooth, VSS block.

    Lists of parts go by the level they work at, 0 being the shallowest.
    """

    def __init__(self, config: MambaFCSConfig) -> None:
        super().__init__()
        widths = config.encoder.widths
        self.blocks = nn.ModuleList(
            VSSBlock(BlockConfig.within(config.encoder, width, config.decoder_drop_path)) for width in widths
        )
        self.narrowings = nn.ModuleList(PyramidFusion(deeper, width) for width, deeper in itertools.pairwise(widths))
        self.smoothings = nn.ModuleList(ResidualBlock(width) for width in widths[:-1])

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


class ChangeDecoder(nn.Module):
    """Fuses the dates level by level; what leaves each level guides the land-cover decoders."""

    def __init__(self, config: MambaFCSConfig) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(SpatioFrequencyFusion(width, fft=config.fft) for width in config.encoder.widths)
        self.ladder = Ladder(config)

    def forward(self, t1: Sequence[Tensor], t2: Sequence[Tensor]) -> list[Tensor]:
        """Four maps of each date, shallowest first -> four guides of the same shapes; the first is the result."""
        guides: list[Tensor] = self.ladder([fuse(a, b) for fuse, a, b in zip(self.fusions, t1, t2, strict=True)])
        return guides


class LandCoverDecoder(nn.Module):
    """The land-cover decoder of one date."""

    def __init__(self, config: MambaFCSConfig) -> None:
        super().__init__()
        self.change_guided_attention = config.change_guided_attention
        self.ladder = Ladder(config)
        self.finish = ResidualBlock(config.encoder.width)

    def forward(self, features: Sequence[Tensor], guides: Sequence[Tensor]) -> Tensor:
        """Four maps of one date and the change decoder's guides, shallowest first -> (b, width, h / 4, w / 4)."""
        if self.change_guided_attention:
            features = [guided(feature, guide) for feature, guide in zip(features, guides, strict=True)]
        finished: Tensor = self.finish(self.ladder(features)[0])
        return finished


def enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear up-sampling to (height, width); corners are not aligned."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
