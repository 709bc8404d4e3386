"""Fresh weights for a model, the same for the same seed."""

from __future__ import annotations

import math

import torch
from torch import nn

from geofcs.model.vss import SS2D, VSSBlock

STEP_RANGE = (1e-3, 1e-1)
"""Step sizes that a scan starts with, log-uniform."""

LEAST_STEP = 1e-4


def initialise(model: nn.Module, seed: int) -> None:
    """Fill every parameter and statistic of a model, module after module, from one generator.

    Convolutions and linear layers as torch does by default, those of VSS blocks as VMamba does.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                _fill_default(module, generator)
            elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
                module.reset_parameters()
        for module in model.modules():
            if isinstance(module, VSSBlock):
                _fill_block(module, generator)


def _fill_default(layer: nn.Linear | nn.Conv1d | nn.Conv2d, generator: torch.Generator) -> None:
    """Weights and biases uniform in +- 1 / sqrt(fan-in)."""
    bound = 1 / math.sqrt(max(1, layer.weight[:1].numel()))
    layer.weight.uniform_(-bound, bound, generator=generator)
    if layer.bias is not None:
        layer.bias.uniform_(-bound, bound, generator=generator)


def _fill_block(block: VSSBlock, generator: torch.Generator) -> None:
    """Linear layers truncated normal, their biases 0, and the scan's own parameters."""
    for layer in block.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
    _fill_scan(block.scan, generator)


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
