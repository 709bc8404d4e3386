"""Fresh weights for a model, the same for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from geofcs.model.cswin import CSWinBlock
from geofcs.model.resnet import ResNet
from geofcs.model.scannet import SCanNet
from geofcs.model.vss import SS2D, VSSBlock

STEP_RANGE = (1e-3, 1e-1)
"""Step sizes that a scan starts with, log-uniform."""

LEAST_STEP = 1e-4


def initialise(model: nn.Module, seed: int) -> None:
    """Fill every parameter and statistic of a model, module after module, from one generator.

    Convolutions and linear layers as torch does by default, and then anew what `BY_KIND` fills in another way.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
                _fill_default(module, generator)
            elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
                module.reset_parameters()
        for module in model.modules():
            for kind, fill in BY_KIND.items():
                if isinstance(module, kind):
                    fill(module, generator)


def _fill_default(layer: nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d, generator: torch.Generator) -> None:
    """Weights and biases uniform in +- 1 / sqrt(fan-in), which torch counts from the second axis of weights on."""
    bound = 1 / math.sqrt(max(1, layer.weight[:1].numel()))
    layer.weight.uniform_(-bound, bound, generator=generator)
    if layer.bias is not None:
        layer.bias.uniform_(-bound, bound, generator=generator)


def _fill_block(block: VSSBlock, generator: torch.Generator) -> None:
    """As VMamba does: linear layers, and the scan's own parameters."""
    _fill_linears(block, generator)
    _fill_scan(block.scan, generator)


def _fill_linears(block: nn.Module, generator: torch.Generator) -> None:
    """Linear layers truncated normal, their biases 0."""
    for layer in block.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()


def _fill_scan(scan: SS2D, generator: torch.Generator) -> None:
    """Step sizes log-uniform (as their bias before the softplus), A = -1, skip connections 1."""
    bound = scan.factors_weight.shape[-1] ** -0.5
    scan.factors_weight.uniform_(-bound, bound, generator=generator)
    bound = scan.dt_weight.shape[-1] ** -0.5
    scan.dt_weight.uniform_(-bound, bound, generator=generator)
    low, high = (math.log(step) for step in STEP_RANGE)
    step = torch.empty_like(scan.dt_bias).uniform_(low, high, generator=generator).exp().clamp(min=LEAST_STEP)
    scan.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
    scan.a_log.zero_()
    scan.skip.fill_(1)


def _fill_resnet(net: ResNet, generator: torch.Generator) -> None:
    """Convolutions He-normal by their outputs, as torchvision does."""
    _fill_he(net, "fan_out", generator)


def _fill_scannet(model: SCanNet, generator: torch.Generator) -> None:
    """Convolutions behind the encoder He-normal by their inputs, but for the transformer's."""
    for part in (model.shrink, model.compare, model.t1_decoder, model.t2_decoder, model.change_decoder):
        _fill_he(part, "fan_in", generator)
    for head in (model.t1_head, model.t2_head, model.change_head):
        _fill_he(head, "fan_in", generator)


def _fill_he(part: nn.Module, mode: Literal["fan_in", "fan_out"], generator: torch.Generator) -> None:
    """Convolutions, other than transposed ones, by arXiv 1502.01852; their biases 0."""
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()


BY_KIND: dict[type[nn.Module], Callable[[Any, torch.Generator], None]] = {
    VSSBlock: _fill_block,
    ResNet: _fill_resnet,
    SCanNet: _fill_scannet,
    CSWinBlock: _fill_linears,
}
"""What fills a kind of module as its authors do."""
