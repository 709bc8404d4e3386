"""SCanNet prepared for inference; maps are (b, h, w, c) throughout."""

from __future__ import annotations

import torch
from torch import Tensor

from geofcs.model.cswin import CSWinBlock, ScanFormer, StripeAttention, attention_in_stripes
from geofcs.model.inference.blocks import Norm, PreparedMLP
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.folding import Convolution, Product, exact_convolutions, parts
from geofcs.model.inference.fusion import PointHead
from geofcs.model.inference.resnet import PreparedBlocks, PreparedResNet
from geofcs.model.interface import Logits
from geofcs.model.scannet import SCanNet, UpDecoder, padded

KERNEL = 5
"""Side of the depthwise kernels that are compiled."""


class PreparedSCanNet:
    """A `SCanNet` in eval mode whose maps and products are of one dtype; see `PreparedMambaFCS`.

    Both dates pass through the encoder as one batch. Norms' statistics, softmax sums and logits stay in float32.
    """

    def __init__(self, model: SCanNet, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self._mean, self._deviation = (t[:, 0, :, 0, 0] for t in (model.normalise.mean, model.normalise.std))
        self._encoder, self._shrink = PreparedResNet(model.encoder, dtype), Product.of(model.shrink, dtype)
        self._compare = PreparedBlocks(model.compare, dtype)
        decoders = (model.t1_decoder, model.t2_decoder, model.change_decoder)
        self._decoders = [PreparedUpDecoder(decoder, dtype) for decoder in decoders]
        self._transformer = PreparedScanFormer(model.transformer, dtype)
        self._hidden = Product.of(model.change_head.hidden, dtype)
        self._change_head = PointHead(model.change_head.logit, dtype)
        self._t1_head, self._t2_head = PointHead(model.t1_head, dtype), PointHead(model.t2_head, dtype)

    def __call__(self, t1: Tensor, t2: Tensor) -> Logits:
        """What `SCanNet.forward` gives, in float32."""
        height, width = t1.shape[-2:]
        seen = padded(t1), padded(t2)
        with exact_convolutions():
            logits = self._logits(pointwise_for(t1).normalise(*seen, self._mean, self._deviation, self.dtype))
        return Logits(*(each[..., :height, :width] for each in logits))

    def _logits(self, both: Tensor) -> tuple[Tensor, ...]:
        """Of normalised images (2b, h, w, 8), at their size: change, T1, T2."""
        deep, low = self._encoder(both)
        (deep1, deep2), (low1, low2) = self._shrink.relu(deep).chunk(2), low.chunk(2)
        compared = self._compare(torch.cat([deep1, deep2], -1))
        pairs = ((deep1, low1), (deep2, low2), (compared, torch.cat([low1, low2], -1)))
        decoded = [decoder(*pair) for decoder, pair in zip(self._decoders, pairs, strict=True)]
        of_t1, of_t2, of_change = self._transformer(torch.cat(decoded, -1)).chunk(3, -1)
        size = both.shape[1:3]
        return (
            self._change_head(self._hidden.relu(of_change), size),
            self._t1_head(of_t1, size),
            self._t2_head(of_t2, size),
        )


class PreparedUpDecoder:
    """`scannet.UpDecoder`: the transposed convolution is a product of each position with a square of four."""

    def __init__(self, decoder: UpDecoder, dtype: torch.dtype) -> None:
        weight, bias = decoder.up.weight.detach(), decoder.up.bias
        assert bias is not None
        self._channels = weight.shape[1]
        # (inputs, outputs, 2, 2) -> rows (2, 2, outputs)
        self._up = Product(weight.permute(2, 3, 1, 0).flatten(0, 2), bias.repeat(4), dtype)
        self._narrow, self._join = Product.of(decoder.narrow, dtype), Convolution(decoder.join, dtype)

    def __call__(self, deep: Tensor, low: Tensor) -> Tensor:
        """(b, h, w, deep) and (b, 2h, 2w, low) -> (b, 2h, 2w, outputs)."""
        batch, height, width, _ = deep.shape
        squares = self._up(deep).view(batch, height, width, 2, 2, self._channels)
        doubled = squares.transpose(2, 3).reshape(batch, 2 * height, 2 * width, self._channels)
        return self._join.relu(torch.cat([doubled, self._narrow.relu(low)], -1))


class PreparedScanFormer:
    """`cswin.ScanFormer`.

    As in `Blocks`, products end by adding to the map in place, their biases summed up beforehand and added by norms.
    """

    def __init__(self, former: ScanFormer, dtype: torch.dtype) -> None:
        self._embedding, self._embedding_norm = Product.of(former.embedding, dtype), Norm(former.embedding_norm)
        self._blocks = [PreparedCSWinBlock(block, dtype) for block in parts(former.blocks, CSWinBlock)]
        self._norm = Norm(former.norm)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, c) -> the same."""
        x, offset = self._embedding_norm(self._embedding(x)), None
        for block in self._blocks:
            offset = block.add_to(x, offset)
        return self._norm(x, offset)


class PreparedCSWinBlock:
    """`cswin.CSWinBlock`.

    The convolutions along columns and along rows are one: a 5x5 kernel, as compiled ones are, that is 0 but for the
    three taps of its channel's stripe.
    """

    def __init__(self, block: CSWinBlock, dtype: torch.dtype) -> None:
        self._attention_norm, self._mlp_norm = Norm(block.attention_norm), Norm(block.mlp_norm)
        self._qkv, self._join = Product.of(block.qkv, dtype), Product(block.join.weight, None, dtype)
        self._bias, self._mlp = block.join.bias.detach().float(), PreparedMLP(block.mlp, dtype)
        self._heads = block.columns.heads
        self._around, self._around_bias = _stripes_as_kernel(block.columns, block.rows)

    def add_to(self, x: Tensor, offset: Tensor | None) -> Tensor:
        """Turn x + offset into the block's result, given as x, changed in place, and the offset that is returned."""
        self._join.add_to(x, self._attention(self._attention_norm(x, offset)))
        offset = self._bias if offset is None else offset + self._bias
        self._mlp.add_to(x, self._mlp_norm(x, offset))
        return offset + self._mlp.bias

    def _attention(self, x: Tensor) -> Tensor:
        """Of both kinds of stripes, (b, h, w, c)."""
        q, k, v = self._qkv(x).chunk(3, -1)
        (q1, q2), (k1, k2), (v1, v2) = (each.chunk(2, -1) for each in (q, k, v))
        columns = attention_in_stripes(q1, k1, v1, self._heads, "columns")
        y = torch.cat([columns, attention_in_stripes(q2, k2, v2, self._heads, "rows")], -1)
        around: Tensor = pointwise_for(x).depthwise(v.contiguous(), self._around, self._around_bias)
        return y.add_(around)


def _stripes_as_kernel(columns: StripeAttention, rows: StripeAttention) -> tuple[Tensor, Tensor]:
    """Filters (5, 5, c) and biases (c), float32, of the convolutions along columns and rows side by side."""
    biases = [stripes.around.bias for stripes in (columns, rows) if stripes.around.bias is not None]
    half = len(columns.around.weight)
    filters = columns.around.weight.new_zeros(KERNEL, KERNEL, 2 * half, dtype=torch.float32)
    filters[1:-1, KERNEL // 2, :half] = columns.taps().detach().T
    filters[KERNEL // 2, 1:-1, half:] = rows.taps().detach().T
    return filters, torch.cat(biases).detach().float()
