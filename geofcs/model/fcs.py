"""Mamba-FCS (doi 10.1109/JSTARS.2026.3663066): change and land cover from one encoder, three decoders."""

from __future__ import annotations

from torch import Tensor

from geofcs.model.config import MambaFCSConfig
from geofcs.model.decoders import ChangeDecoder, LandCoverDecoder
from geofcs.model.encoder import Encoder, Normalise
from geofcs.model.fusion import PyramidFusion
from geofcs.model.interface import CHANGE_CLASSES, ChangeModel, Logits
from geofcs.model.ladder import logits_at


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
        change = logits_at(self.change_head, guides[0], size)
        if self.config.is_binary:
            return Logits(change, None, None)
        return Logits(
            change,
            logits_at(self.land_cover_head, self.t1_decoder(features1, guides), size),
            logits_at(self.land_cover_head, self.t2_decoder(features2, guides), size),
        )
