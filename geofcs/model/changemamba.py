"""ChangeMamba (arXiv 2404.03425), semantic: change from relations of the dates, land cover from each date alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.config import LEVELS, ChangeMambaConfig
from geofcs.model.encoder import Encoder, Normalise
from geofcs.model.fusion import ConvNorm, ResidualBlock
from geofcs.model.interface import CHANGE_CLASSES, ChangeModel, Logits
from geofcs.model.ladder import Ladder, logits_at
from geofcs.model.relations import DateRelations
from geofcs.model.vss import VSSBlock


class ChangeMamba(ChangeModel):
    """The whole model; with one class only (`config.is_binary`) just encoder, change decoder and change head."""

    config: ChangeMambaConfig
    encoder: Encoder

    def __init__(self, config: ChangeMambaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.normalise = Normalise(config.normalisation)
        self.encoder = Encoder(config.encoder)
        self.change_decoder = RelationDecoder(config)
        self.change_head = nn.Conv2d(width, CHANGE_CLASSES, 1)
        if not config.is_binary:
            self.t1_decoder = DateDecoder(config)
            self.t2_decoder = DateDecoder(config)
            self.land_cover_head = nn.Conv2d(width, config.classes, 1)

    def forward(self, t1: Tensor, t2: Tensor) -> Logits:
        """Logits of two batches of images (b, 3, h, w), RGB 0-255, at least 32 pixels a side."""
        size = t1.shape[-2:]
        both = self.encoder(self.normalise(t1, t2))
        change = logits_at(self.change_head, self.change_decoder(both), size)
        if self.config.is_binary:
            return Logits(change, None, None)
        features1, features2 = zip(*(feature.chunk(2) for feature in both), strict=True)
        return Logits(
            change,
            logits_at(self.land_cover_head, self.t1_decoder(features1), size),
            logits_at(self.land_cover_head, self.t2_decoder(features2), size),
        )


class RelationDecoder(nn.Module):
    """The change decoder: at each level the relations of the dates, which a ladder without VSS blocks sums up."""

    def __init__(self, config: ChangeMambaConfig) -> None:
        super().__init__()
        self.levels = nn.ModuleList(DateRelations(width, config.block) for width in config.encoder.widths)
        self.ladder = Ladder(
            blocks=[nn.Identity() for _ in range(LEVELS)],
            narrowings=[nn.Identity() for _ in range(LEVELS - 1)],
            smoothings=[ResidualBlock(config.decoder_width, excited=False) for _ in range(LEVELS - 1)],
        )

    def forward(self, both: Sequence[Tensor]) -> Tensor:
        """Four maps (2b, c, h, w) of both dates, T1 first, shallowest first -> (b, decoder_width, h / 4, w / 4)."""
        climbed: list[Tensor] = self.ladder([level(maps) for level, maps in zip(self.levels, both, strict=True)])
        return climbed[0]


class DateDecoder(nn.Module):
    """The land-cover decoder of one date, which sees neither the other date nor the change decoder."""

    def __init__(self, config: ChangeMambaConfig) -> None:
        super().__init__()
        *shallow, deepest = config.encoder.widths
        width = config.decoder_width
        self.entries = nn.ModuleList(Entry(inputs, width) for inputs in shallow)
        self.entries.append(nn.Conv2d(deepest, width, 1))
        self.ladder = Ladder(
            blocks=[VSSBlock(config.block) for _ in range(LEVELS)],
            narrowings=[nn.Identity() for _ in range(LEVELS - 1)],
            smoothings=[ResidualBlock(width, excited=False) for _ in range(LEVELS - 1)],
        )
        self.finish = ResidualBlock(width, excited=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Four maps of one date, shallowest first -> (b, decoder_width, h / 4, w / 4)."""
        entering = [entry(feature) for entry, feature in zip(self.entries, features, strict=True)]
        finished: Tensor = self.finish(self.ladder(entering)[0])
        return finished


class Entry(ConvNorm):
    """A 1x1 convolution, batch norm and ReLU: a level's features at the width of the decoder."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h, w)."""
        return F.relu(super().forward(x))
