"""Mamba-FCS's decoders and every decoder's ladder, prepared for inference; maps are (b, h, w, c) throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geofcs.model.decoders import ChangeDecoder, LandCoverDecoder
from geofcs.model.fusion import PyramidFusion, ResidualBlock, SpatioFrequencyFusion
from geofcs.model.inference.blocks import Blocks
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.folding import parts
from geofcs.model.inference.fusion import DateFusion, Pyramid, Residual
from geofcs.model.ladder import Ladder
from geofcs.model.vss import VSSBlock


class PreparedLadder:
    """`ladder.Ladder`; what enters a level is asked for, as adding the level below is part of making it."""

    def __init__(self, ladder: Ladder, dtype: torch.dtype) -> None:
        self._blocks, self._narrowings, self._smoothings = (
            [TWINS[type(part)](part, dtype) for part in of_levels]
            for of_levels in (ladder.blocks, ladder.narrowings, ladder.smoothings)
        )

    def __call__(self, entering: Callable[[int, Tensor | None], Tensor]) -> list[Tensor]:
        """Outputs of the four levels, shallowest first; `entering(level, coarse)` is the level's input plus coarse."""
        top = len(self._blocks) - 1
        x = self._blocks[top](entering(top, None))
        outputs = [x]
        for level in reversed(range(top)):
            x = self._blocks[level](self._smoothings[level](entering(level, self._narrowings[level](x))))
            outputs.insert(0, x)
        return outputs


TWINS: dict[type[nn.Module], Callable[[Any, torch.dtype], Callable[[Tensor], Tensor]]] = {
    VSSBlock: lambda block, dtype: Blocks([block], dtype),
    PyramidFusion: Pyramid,
    ResidualBlock: Residual,
    nn.Identity: lambda identity, _: identity,
}
"""What is made of a ladder's parts."""


class PreparedChangeDecoder:
    """`decoders.ChangeDecoder`."""

    def __init__(self, decoder: ChangeDecoder, dtype: torch.dtype) -> None:
        self._fusions = [DateFusion(fusion, dtype) for fusion in parts(decoder.fusions, SpatioFrequencyFusion)]
        self._ladder = PreparedLadder(decoder.ladder, dtype)

    def __call__(self, both: Sequence[Tensor]) -> list[Tensor]:
        """Four maps (2b, h, w, c) of both dates, shallowest first -> four guides (b, h, w, c)."""
        return self._ladder(lambda level, coarse: self._fusions[level](both[level], coarse))


class PreparedLandCoverDecoder:
    """`decoders.LandCoverDecoder`."""

    def __init__(self, decoder: LandCoverDecoder, dtype: torch.dtype) -> None:
        self._is_guided = decoder.change_guided_attention
        self._ladder, self._finish = PreparedLadder(decoder.ladder, dtype), Residual(decoder.finish, dtype)

    def __call__(self, features: Sequence[Tensor], guides: Sequence[Tensor]) -> Tensor:
        """Four maps of one date and the guides, shallowest first -> (b, h, w, c) at stride 4."""

        def entering(level: int, coarse: Tensor | None) -> Tensor:
            guide = guides[level] if self._is_guided else None
            entered: Tensor = pointwise_for(features[level]).guided_add(features[level], guide, coarse)
            return entered

        return self._finish(self._ladder(entering)[0])
