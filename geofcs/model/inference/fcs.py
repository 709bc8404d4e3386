"""Mamba-FCS prepared for inference: the same function of the same weights in fewer passes over memory."""

from __future__ import annotations

import torch
from torch import Tensor

from geofcs.model.fcs import MambaFCS
from geofcs.model.inference.blocks import PreparedEncoder
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.decoders import PreparedChangeDecoder, PreparedLandCoverDecoder
from geofcs.model.inference.folding import exact_convolutions
from geofcs.model.inference.fusion import Head
from geofcs.model.interface import Logits


class PreparedMambaFCS:
    """A `MambaFCS` in eval mode whose maps and products are of one dtype, but for the encoder's first on a CPU.

    Batch norms are folded into convolutions, both dates pass through the encoder as one batch, maps keep their channels
    last, pointwise work is fused. Scan states, norms' statistics, FFTs, gates and logits stay in float32.
    """

    def __init__(self, model: MambaFCS, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._mean, self._deviation = (t[:, 0, :, 0, 0] for t in (model.normalise.mean, model.normalise.std))
        self._encoder = PreparedEncoder(model.encoder, dtype)
        self._change_decoder = PreparedChangeDecoder(model.change_decoder, dtype)
        self._change_head = Head(model.change_head, dtype)
        self._is_binary = model.config.is_binary
        if not self._is_binary:
            self._t1_decoder = PreparedLandCoverDecoder(model.t1_decoder, dtype)
            self._t2_decoder = PreparedLandCoverDecoder(model.t2_decoder, dtype)
            self._land_cover_head = Head(model.land_cover_head, dtype)

    def __call__(self, t1: Tensor, t2: Tensor) -> Logits:
        """What `MambaFCS.forward` gives, in float32."""
        with exact_convolutions():
            return self._logits(t1, t2)

    def _logits(self, t1: Tensor, t2: Tensor) -> Logits:
        size = t1.shape[-2:]
        images = pointwise_for(t1).normalise(t1, t2, self._mean, self._deviation, self._encoder.image_dtype)
        both = self._encoder(images)
        guides = self._change_decoder(both)
        change = self._change_head(guides[0], size)
        if self._is_binary:
            return Logits(change, None, None)
        features1, features2 = zip(*(feature.chunk(2) for feature in both), strict=True)
        decoded = [self._t1_decoder(features1, guides), self._t2_decoder(features2, guides)]
        return Logits(change, *(self._land_cover_head(x, size) for x in decoded))
