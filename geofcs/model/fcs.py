"""Mamba-FCS (doi 10.1109/JSTARS.2026.3663066): change and land cover from one encoder, three decoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geofcs.model.config import MambaFCSConfig
from geofcs.model.decoders import ChangeDecoder, LandCoverDecoder, enlarge
from geofcs.model.encoder import Encoder, Normalise
from geofcs.model.fusion import PyramidFusion
from geofcs.model.interface import ChangeModel, Logits

CHANGE_CLASSES = 2


class MambaFCS(ChangeModel):
    """The whole model; with one class only (`config.is_binary`) just encoder, change decoder and change head."""

    config: MambaFCSConfig
    encoder: Encoder

    def __init__(self, config: MambaFCSConfig) -> None:
        super().__init__()
        self.config = config
        width = config.encoder.width
        self.normalise = Normalise(config.normalisation)
        self.encoder = Encoder(config.encoder)
        self.change_decoder = ChangeDecoder(config)
        self.change_head = PyramidFusion(width, CHANGE_CLASSES)
        if not config.is_binary:
            self.t1_decoder = LandCoverDecoder(config)
            self.t2_decoder = LandCoverDecoder(config)
            self.land_cover_head = PyramidFusion(width, config.classes)

    def forward(self, t1: Tensor, t2: Tensor) -> Logits:
        """Logits of two batches of images (b, 3, h, w), RGB 0-255, at least 32 pixels a side."""
        size = t1.shape[-2:]
        both = self.encoder(self.normalise(t1, t2))
        features1, features2 = zip(*(feature.chunk(2) for feature in both), strict=True)
        guides = self.change_decoder(features1, features2)
        change = _logits(self.change_head, guides[0], size)
        if self.config.is_binary:
            return Logits(change, None, None)
        return Logits(
            change,
            _logits(self.land_cover_head, self.t1_decoder(features1, guides), size),
            _logits(self.land_cover_head, self.t2_decoder(features2, guides), size),
        )


def _logits(head: nn.Module, decoded: Tensor, size: Sequence[int]) -> Tensor:
    """The head's answer at the image's size, computed in float32 at least even under autocast."""
    with torch.autocast(decoded.device.type, enabled=False):
        return enlarge(head(decoded.to(torch.promote_types(decoded.dtype, torch.float32))), size)
