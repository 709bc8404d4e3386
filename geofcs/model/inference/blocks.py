"""VSS blocks and the encoder, prepared for inference; maps are (b, h, w, c) throughout and may change in place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from geofcs.model.encoder import Encoder, HalvingConv
from geofcs.model.inference.choice import pointwise_for
from geofcs.model.inference.folding import Convolution, Product, parts
from geofcs.model.inference.pointwise import IMAGE_CHANNELS
from geofcs.model.ops import DIRECTIONS, four_direction_scan, padded_factors
from geofcs.model.vss import MLP, SS2D, VSSBlock


class Norm:
    """A layer norm."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self._weight, self._bias = norm.weight.detach().float(), norm.bias.detach().float()

    def __call__(self, x: Tensor, offset: Tensor | None = None) -> Tensor:
        """Of x + offset, (b, h, w, c) and (c)."""
        y: Tensor = pointwise_for(x).layer_norm(x, self._weight, self._bias, offset)
        return y

    def of_sum(self, total: Tensor, x: Tensor, offset: Tensor | None) -> Tensor:
        """Of total + x + offset, in x's dtype; x is added to `total`, float32, in place."""
        y: Tensor = pointwise_for(x).layer_norm_of_sum(total, x, self._weight, self._bias, offset)
        return y

    def gelu(self, x: Tensor, offset: Tensor | None = None) -> Tensor:
        """GELU of the norm."""
        y: Tensor = pointwise_for(x).layer_norm_gelu(x, self._weight, self._bias, offset)
        return y


class Scan:
    """`vss.SS2D`."""

    def __init__(self, scan: SS2D, dtype: torch.dtype) -> None:
        self._widen = Product.of(scan.widen, dtype)
        self._filters = scan.conv.weight.detach().float()[:, 0].permute(1, 2, 0).contiguous()
        self._rows = scan.factors_weight.shape[1]
        self._factors = Product(padded_factors(scan.factors_weight.detach()).flatten(0, 1), None, dtype)
        self._parameters = [p.detach().float() for p in (scan.dt_weight, scan.dt_bias, scan.a_log, scan.skip)]
        self._norm = Norm(scan.norm)
        self._narrow = Product.of(scan.narrow, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """The scan of x."""
        return self._narrow(self._scanned(x))

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the scan of x to `total`."""
        self._narrow.add_to(total, self._scanned(x))

    def _scanned(self, x: Tensor) -> Tensor:
        image = pointwise_for(x).depthwise_silu(self._widen(x), self._filters)
        factors = torch.unflatten(self._factors(image), -1, (DIRECTIONS, -1))[..., : self._rows]
        y = four_direction_scan(image.permute(0, 3, 1, 2), factors.permute(0, 3, 4, 1, 2), *self._parameters)
        return self._norm(y.permute(0, 2, 3, 1))


class PreparedMLP:
    """`vss.MLP` without the bias of its last layer."""

    def __init__(self, mlp: MLP, dtype: torch.dtype) -> None:
        self._widen = Product.of(mlp.widen, dtype)
        self._narrow = Product(mlp.narrow.weight, None, dtype)
        self.bias = mlp.narrow.bias.detach().float()

    def __call__(self, x: Tensor) -> Tensor:
        """The MLP of x, but for its `bias`."""
        return self._narrow(self._widen.gelu(x))

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the same to `total`."""
        self._narrow.add_to(total, self._widen.gelu(x))


class Blocks:
    """VSS blocks, one after the other.

    Products end by adding to x in place, but for those in 16 bits on a CPU, which could add to 16 bits only: there x
    and what the blocks add is summed in float32, by the norms that read it, as rounding that sum after every block
    would be the largest single error of a model. The MLPs' biases cannot be part of the products: they are summed up
    beforehand, norms add the sum so far as they read x, and the last sum, `bias`, is added at the end. `before` is a
    bias (c) that x still lacks.
    """

    def __init__(self, blocks: Sequence[VSSBlock], dtype: torch.dtype, before: Tensor | None = None) -> None:
        self._blocks = [
            (Norm(block.scan_norm), Scan(block.scan, dtype), Norm(block.mlp_norm), PreparedMLP(block.mlp, dtype))
            for block in blocks
        ]
        first = None if before is None else before.detach().float()
        biases = torch.stack([mlp.bias for *_, mlp in self._blocks]).cumsum(0)
        later = biases if first is None else biases + first
        self._offsets: list[Tensor | None] = [first, *later]
        self.bias = later[-1]

    def __call__(self, x: Tensor) -> Tensor:
        """Of (b, h, w, c), which may be changed in place."""
        y: Tensor = pointwise_for(x).add_to_channels(self.without_bias(x), self.bias)
        return y

    def without_bias(self, x: Tensor) -> Tensor:
        """The same but for `bias`, which whoever reads it has to add."""
        if not x.is_cuda and x.dtype != torch.float32:
            return self._in_float32(x)
        for (scan_norm, scan, mlp_norm, mlp), offset in zip(self._blocks, self._offsets, strict=False):
            scan.add_to(x, scan_norm(x, offset))
            mlp.add_to(x, mlp_norm(x, offset))
        return x

    def _in_float32(self, x: Tensor) -> Tensor:
        """The same by a sum in float32, rounded once."""
        total, branch = torch.zeros_like(x, dtype=torch.float32), x
        for (scan_norm, scan, mlp_norm, mlp), offset in zip(self._blocks, self._offsets, strict=False):
            branch = scan(scan_norm.of_sum(total, branch, offset))
            branch = mlp(mlp_norm.of_sum(total, branch, offset))
        return total.add_(branch).to(x.dtype)


class Halving:
    """`encoder.HalvingConv`."""

    def __init__(self, layer: HalvingConv, dtype: torch.dtype, inputs: int | None = None) -> None:
        self._conv, self._norm = Convolution(layer.conv, dtype, inputs=inputs), Norm(layer.norm)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, ceil(h / 2), ceil(w / 2), outputs)."""
        return self._norm(self._conv(x), self._conv.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of the same."""
        return self._norm.gelu(self._conv(x), self._conv.bias)


FLOAT32_LEVELS = 2
"""Of an encoder on a CPU, the first ones, which compute in float32 for 16-bit results.

All others carry on what these round, and they are a fifth of an encoder's work: Base takes 1.17 times as long, the
error of its logits is 0.8 of what it was, and a fifth as many pixels change their class.
"""


class PreparedEncoder:
    """`encoder.Encoder`; it takes images of `image_dtype`."""

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self.image_dtype = dtype if encoder.patch_embedding.first.conv.weight.is_cuda else torch.float32
        dtypes = [self.image_dtype if level < FLOAT32_LEVELS else dtype for level in range(len(encoder.stages))]
        self._first = Halving(encoder.patch_embedding.first, self.image_dtype, IMAGE_CHANNELS)
        halvings = [encoder.patch_embedding.second, *parts(encoder.halvings, HalvingConv)]
        stages, norms = parts(encoder.stages, nn.Sequential), parts(encoder.norms, nn.LayerNorm)
        self._levels = [
            (own, Halving(halving, own), Blocks(parts(stage, VSSBlock), own), Norm(norm))
            for own, halving, stage, norm in zip(dtypes, halvings, stages, norms, strict=True)
        ]

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Normalised images (b, h, w, 8) -> four maps (b, h / s, w / s, c), shallowest first."""
        x = self._first.gelu(images)
        features = []
        for own, halving, blocks, norm in self._levels:
            x = blocks(halving(x.to(own)))
            features.append(norm(x).to(self._dtype))
        return features
