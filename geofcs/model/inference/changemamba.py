"""ChangeMamba prepared for inference; maps are (b, h, w, c) throughout, and no map of both dates is ever copied."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geofcs.model.changemamba import ChangeMamba, DateDecoder, RelationDecoder
from geofcs.model.fusion import ConvNorm
from geofcs.model.inference.blocks import Blocks, PreparedEncoder
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.decoders import PreparedLadder
from geofcs.model.inference.folding import Product, exact_convolutions, folded, parts
from geofcs.model.inference.fusion import PointHead, Residual
from geofcs.model.interface import Logits
from geofcs.model.relations import MAPS, DateRelations, Relation


class PreparedChangeMamba:
    """A `ChangeMamba` in eval mode whose maps and products are of one dtype; see `PreparedMambaFCS`."""

    def __init__(self, model: ChangeMamba, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._mean, self._deviation = (t[:, 0, :, 0, 0] for t in (model.normalise.mean, model.normalise.std))
        self._encoder = PreparedEncoder(model.encoder, dtype)
        self._change_decoder = PreparedRelationDecoder(model.change_decoder, dtype)
        self._change_head = PointHead(model.change_head, dtype)
        self._is_binary = model.config.is_binary
        if not self._is_binary:
            self._date_decoders = [PreparedDateDecoder(each, dtype) for each in (model.t1_decoder, model.t2_decoder)]
            self._land_cover_head = PointHead(model.land_cover_head, dtype)

    def __call__(self, t1: Tensor, t2: Tensor) -> Logits:
        """What `ChangeMamba.forward` gives, in float32."""
        size = t1.shape[-2:]
        with exact_convolutions():
            images = pointwise_for(t1).normalise(t1, t2, self._mean, self._deviation, self._encoder.image_dtype)
            both = self._encoder(images)
            change = self._change_head(self._change_decoder(both), size)
            if self._is_binary:
                return Logits(change, None, None)
            dates = zip(*(feature.chunk(2) for feature in both), strict=True)
            decoded = [decoder(features) for decoder, features in zip(self._date_decoders, dates, strict=True)]
            return Logits(change, *(self._land_cover_head(x, size) for x in decoded))


class PreparedRelationDecoder:
    """`changemamba.RelationDecoder`."""

    def __init__(self, decoder: RelationDecoder, dtype: torch.dtype) -> None:
        self._levels = [PreparedRelations(level, dtype) for level in parts(decoder.levels, DateRelations)]
        self._ladder = PreparedLadder(decoder.ladder, dtype)

    def __call__(self, both: Sequence[Tensor]) -> Tensor:
        """Four maps (2b, h, w, c) of both dates, shallowest first -> (b, h, w, width) at stride 4."""
        return self._ladder(lambda level, coarse: _plus(self._levels[level](both[level]), coarse))[0]


class PreparedRelations:
    """`relations.DateRelations`.

    Products write each date where its relation has it, and read it from there: rearranging costs nothing. Biases are
    not part of products into parts of maps: those before a block are left to its norms, all others are folded into the
    bias of the fusing product.
    """

    def __init__(self, level: DateRelations, dtype: torch.dtype) -> None:
        self._stacked, self._interleaved, self._side_by_side = (
            Blocks([relation.block], dtype, relation.mix.bias)
            for relation in (level.stacked, level.interleaved, level.side_by_side)
        )
        self._of_t1, self._of_t2 = (Product(part, None, dtype) for part in _mixing(level.stacked).chunk(2, 1))
        self._turned = Product(_mixing(level.interleaved), None, dtype)
        self._placed = Product(_mixing(level.side_by_side), None, dtype)
        weight, bias = folded(level.fuse)
        together, even, odd, left, right = weight.flatten(1).chunk(MAPS, 1)
        turns = torch.cat([even, odd], 1)
        bias = bias + together @ self._stacked.bias + (even + odd) @ self._interleaved.bias
        bias = bias + (left + right) @ self._side_by_side.bias
        self._together, self._turns = Product(together, bias, dtype), Product(turns, None, dtype)
        self._halves = [Product(half, None, dtype) for half in (left, right)]

    def __call__(self, both: Tensor) -> Tensor:
        """(2b, h, w, c) -> (b, h, w, width)."""
        dates = both.chunk(2)
        fused = self._together(self._stacked.without_bias(self._summed(dates)))
        self._turns.add_to(fused, self._interleaved.without_bias(self._in_turns(dates)).view(*fused.shape[:3], -1))
        placed = self._side_by_side.without_bias(self._in_halves(dates))
        rows = fused.flatten(0, 1)
        for product, half in zip(self._halves, placed.flatten(0, 1).chunk(2, 1), strict=True):
            product.add_from(rows, half)
        return fused.relu_()

    def _summed(self, dates: Sequence[Tensor]) -> Tensor:
        """The product of both dates' channels: (b, h, w, width)."""
        mixed = self._of_t1(dates[0])
        self._of_t2.add_to(mixed, dates[1])
        return mixed

    def _in_turns(self, dates: Sequence[Tensor]) -> Tensor:
        """Columns of the dates' products in turns: (b, h, 2w, width)."""
        batch, height, width, _ = dates[0].shape
        wide = dates[0].new_empty(batch * height * width, 2, len(self._turned.weight))
        for date, x in enumerate(dates):
            self._turned.write_to(wide[None, :, date], x.flatten(0, 2)[None])
        return wide.view(batch, height, 2 * width, -1)

    def _in_halves(self, dates: Sequence[Tensor]) -> Tensor:
        """T1's product on the left, T2's on the right: (b, h, 2w, width)."""
        batch, height, width, _ = dates[0].shape
        wide = dates[0].new_empty(batch * height, 2, width, len(self._placed.weight))
        for date, x in enumerate(dates):
            self._placed.write_to(wide[:, date], x.flatten(0, 1))
        return wide.view(batch, height, 2 * width, -1)


class PreparedDateDecoder:
    """`changemamba.DateDecoder`."""

    def __init__(self, decoder: DateDecoder, dtype: torch.dtype) -> None:
        *shallow, deepest = decoder.entries.children()
        self._shallow = [Product.of(entry, dtype) for entry in shallow if isinstance(entry, ConvNorm)]
        assert isinstance(deepest, nn.Conv2d)
        self._deepest = Product.of(deepest, dtype)
        self._ladder, self._finish = PreparedLadder(decoder.ladder, dtype), Residual(decoder.finish, dtype)

    def __call__(self, features: Sequence[Tensor]) -> Tensor:
        """Four maps of one date, shallowest first -> (b, h, w, width) at stride 4."""

        def entering(level: int, coarse: Tensor | None) -> Tensor:
            if level == len(self._shallow):
                return self._deepest(features[level])
            return _plus(self._shallow[level].relu(features[level]), coarse)

        return self._finish(self._ladder(entering)[0])


def _plus(x: Tensor, coarse: Tensor | None) -> Tensor:
    """x + coarse, enlarged to its size."""
    if coarse is None:
        return x
    added: Tensor = pointwise_for(x).guided_add(x, None, coarse)
    return added


def _mixing(relation: Relation) -> Tensor:
    """The weight (outputs, inputs) of a relation's convolution."""
    return relation.mix.weight.flatten(1)
