"""The decoders of Mamba-FCS: a ladder fed with fused dates (change) or with guided features (land cover)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from geofcs.model.config import BlockConfig, MambaFCSConfig
from geofcs.model.fusion import PyramidFusion, ResidualBlock, SpatioFrequencyFusion, guided
from geofcs.model.ladder import Ladder
from geofcs.model.vss import VSSBlock


def mamba_fcs_ladder(config: MambaFCSConfig) -> Ladder:
    """A ladder whose levels have the widths of the encoder's."""
    widths = config.encoder.widths
    return Ladder(
        blocks=[VSSBlock(BlockConfig.within(config.encoder, width, config.decoder_drop_path)) for width in widths],
        narrowings=[PyramidFusion(deeper, width) for width, deeper in itertools.pairwise(widths)],
        smoothings=[ResidualBlock(width, excited=True) for width in widths[:-1]],
    )


class ChangeDecoder(nn.Module):
    """Fuses the dates level by level; what leaves each level guides the land-cover decoders."""

    def __init__(self, config: MambaFCSConfig) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(SpatioFrequencyFusion(width, fft=config.fft) for width in config.encoder.widths)
        self.ladder = mamba_fcs_ladder(config)

    def forward(self, t1: Sequence[Tensor], t2: Sequence[Tensor]) -> list[Tensor]:
        """Four maps of each date, shallowest first -> four guides of the same shapes; the first is the result."""
        guides: list[Tensor] = self.ladder([fuse(a, b) for fuse, a, b in zip(self.fusions, t1, t2, strict=True)])
        return guides


class LandCoverDecoder(nn.Module):
    """The land-cover decoder of one date."""

    def __init__(self, config: MambaFCSConfig) -> None:
        super().__init__()
        self.change_guided_attention = config.change_guided_attention
        self.ladder = mamba_fcs_ladder(config)
        self.finish = ResidualBlock(config.encoder.width, excited=True)

    def forward(self, features: Sequence[Tensor], guides: Sequence[Tensor]) -> Tensor:
        """Four maps of one date and the change decoder's guides, shallowest first -> (b, width, h / 4, w / 4)."""
        if self.change_guided_attention:
            features = [guided(feature, guide) for feature, guide in zip(features, guides, strict=True)]
        finished: Tensor = self.finish(self.ladder(features)[0])
        return finished
