"""Layers as inference runs them: batch norms folded into convolutions, weights in the dtype and layout of products."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.fusion import ConvNorm

Part = TypeVar("Part", bound=nn.Module)


class Normed(NamedTuple):
    """A convolution and the batch norm behind it, where no `ConvNorm` holds the two."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d


Layer = nn.Linear | nn.Conv2d | ConvNorm | Normed


class Product:
    """A linear layer or 1x1 convolution over the channels of maps (b, h, w, inputs)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.weight = weight.detach().to(dtype).contiguous()
        self.bias = None if bias is None else bias.detach().to(dtype)

    @staticmethod
    def of(layer: Layer, dtype: torch.dtype) -> Product:
        """The layer's weights, any batch norm folded in."""
        weight, bias = folded(layer)
        bare = not isinstance(layer, ConvNorm | Normed) and layer.bias is None
        return Product(weight.flatten(1), None if bare else bias, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, h, w, outputs)."""
        return F.linear(x, self.weight, self.bias)

    def wide(self, x: Tensor) -> Tensor:
        """The same in float32, as it was summed."""
        if not x.is_cuda or x.dtype == torch.float32:
            return F.linear(x.float(), self.weight.float(), None if self.bias is None else self.bias.float())
        y = torch.mm(x.reshape(-1, x.shape[-1]), self.weight.T, out_dtype=torch.float32)
        y = y if self.bias is None else y.add_(self.bias)
        return y.view(*x.shape[:-1], -1)

    def relu(self, x: Tensor) -> Tensor:
        """The same, negative values replaced by 0."""
        if x.is_cuda and self.bias is not None:
            return _activated(self.bias, x, self.weight, use_gelu=False)
        return F.relu_(self(x))

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of the same; by tanh, off by 5e-4 at most, in 16 bits on a GPU, whose products can end in that."""
        if x.is_cuda and self.bias is not None and x.dtype != torch.float32:
            return _activated(self.bias, x, self.weight, use_gelu=True)
        return F.gelu(self(x))

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the product of x, without bias, to `total` (b, h, w, outputs) in place."""
        total.view(-1, total.shape[-1]).addmm_(x.reshape(-1, x.shape[-1]), self.weight.T)

    def write_to(self, out: Tensor, x: Tensor) -> None:
        """The product of x (n, m, inputs), without bias, into `out` (n, m, outputs), a part of a larger map."""
        torch.bmm(x, self.weight.T.expand(len(x), -1, -1), out=out)

    def add_from(self, total: Tensor, x: Tensor) -> None:
        """Add the product of x (n, m, inputs), a part of a larger map, without bias, to `total` (n, m, outputs)."""
        total.baddbmm_(x, self.weight.T.expand(len(x), -1, -1))


class Convolution:
    """A convolution over maps (b, h, w, inputs), padded by half its kernel; what follows adds its `bias`, float32."""

    def __init__(
        self, layer: nn.Conv2d | ConvNorm | Normed, dtype: torch.dtype, *, inputs: int | None = None, padding: int = 0
    ) -> None:
        """For `inputs` channels, those behind the layer's ignored, and `padding` outputs of zeros behind its own."""
        weight, bias = folded(layer)
        ignored = 0 if inputs is None else inputs - weight.shape[1]
        weight, bias = F.pad(weight, (0, 0, 0, 0, 0, ignored, 0, padding)), F.pad(bias, (0, padding))
        self._stride = (layer if isinstance(layer, nn.Conv2d) else layer.conv).stride
        self._padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        self._weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self._bias = bias.to(dtype)
        self.bias = bias.float()

    def __call__(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, h / stride, w / stride, outputs), without bias."""
        image = x.permute(0, 3, 1, 2)
        return F.conv2d(image, self._weight, None, self._stride, self._padding).permute(0, 2, 3, 1).contiguous()

    def relu(self, x: Tensor) -> Tensor:
        """With bias, negative values replaced by 0."""
        image = x.permute(0, 3, 1, 2)
        if x.is_cuda:
            y: Tensor = torch.cudnn_convolution_relu(
                image, self._weight, self._bias, self._stride, self._padding, (1, 1), 1
            )
        else:
            y = F.relu_(F.conv2d(image, self._weight, self._bias, self._stride, self._padding))
        return y.permute(0, 2, 3, 1).contiguous()

    def add_relu(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """With bias and a map of the result's shape added, negative values replaced by 0."""
        image, added = x.permute(0, 3, 1, 2), shortcut.permute(0, 3, 1, 2)
        if x.is_cuda:
            y: Tensor = torch.cudnn_convolution_add_relu(
                image, self._weight, added, 1.0, self._bias, self._stride, self._padding, (1, 1), 1
            )
        else:
            y = F.relu_(F.conv2d(image, self._weight, self._bias, self._stride, self._padding).add_(added))
        return y.permute(0, 2, 3, 1).contiguous()

    def biased(self, x: Tensor) -> Tensor:
        """With bias."""
        image = x.permute(0, 3, 1, 2)
        return F.conv2d(image, self._weight, self._bias, self._stride, self._padding).permute(0, 2, 3, 1).contiguous()


def exact_convolutions() -> AbstractContextManager[None]:
    """What inference computes within: cuDNN would round float32 to TF32, or choose sums whose order changes."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    return flags


def parts(module: nn.Module, kind: type[Part]) -> list[Part]:
    """The modules that a list or sequence of modules holds, which are all of one kind."""
    found = [part for part in module.children() if isinstance(part, kind)]
    assert len(found) == len(list(module.children()))
    return found


def folded(layer: Layer) -> tuple[Tensor, Tensor]:
    """Weight and bias (zeros if there is none) that do what the layer and the batch norm behind it do in eval mode."""
    inner = layer if isinstance(layer, nn.Linear | nn.Conv2d) else layer.conv
    weight = inner.weight.detach()
    bias = weight.new_zeros(weight.shape[0]) if inner.bias is None else inner.bias.detach()
    if isinstance(layer, nn.Linear | nn.Conv2d):
        return weight, bias
    norm = layer.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale[:, None, None, None], (bias - norm.running_mean) * scale + norm.bias.detach()


def _activated(bias: Tensor, x: Tensor, weight: Tensor, *, use_gelu: bool) -> Tensor:
    y: Tensor = torch._addmm_activation(bias, x.reshape(-1, x.shape[-1]), weight.T, use_gelu=use_gelu)
    return y.view(*x.shape[:-1], -1)
