"""The VMamba encoder (arXiv 2401.10166): an image in, feature maps at strides 4, 8, 16 and 32 out."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.config import BlockConfig, EncoderConfig, Normalisation
from geofcs.model.layers import ChannelNorm
from geofcs.model.vss import VSSBlock

IMAGE_BANDS = 3


class Normalise(nn.Module):
    """(x - mean) / std of both dates, each with its own statistics; part of the model, not of its weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, dates: tuple[Normalisation, Normalisation]) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = [getattr(date, name) for date in dates]
            # On the CPU even where a model is built without memory, on the meta device.
            statistics = torch.tensor(values, dtype=torch.float32, device="cpu")
            self.register_buffer(name, statistics[:, None, :, None, None], persistent=False)

    def forward(self, t1: Tensor, t2: Tensor) -> Tensor:
        """Two batches (b, 3, h, w), RGB 0-255, as one batch (2b, 3, h, w), T1 first."""
        return torch.cat([(t1 - self.mean[0]) / self.std[0], (t2 - self.mean[1]) / self.std[1]])


class HalvingConv(nn.Module):
    """A 3x3 convolution of stride 2 and a layer norm, on channels-last maps; odd sizes round up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.norm = ChannelNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, inputs) -> (b, ceil(h / 2), ceil(w / 2), outputs)."""
        halved: Tensor = self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return halved


class PatchEmbedding(nn.Module):
    """Two halving convolutions with a GELU between them: an image becomes a map at stride 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = HalvingConv(IMAGE_BANDS, width // 2)
        self.second = HalvingConv(width // 2, width)

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, ceil(h / 4), ceil(w / 4), width)."""
        embedded: Tensor = self.second(F.gelu(self.first(image.permute(0, 2, 3, 1))))
        return embedded


class Encoder(nn.Module):
    """Patch embedding, then four stages of VSS blocks with a halving convolution between stages."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        last = sum(config.depths) - 1
        rates = (config.drop_path * block / last for block in range(last + 1))
        self.patch_embedding = PatchEmbedding(config.width)
        self.stages = nn.ModuleList(
            nn.Sequential(*(VSSBlock(BlockConfig.within(config, width, next(rates))) for _ in range(depth)))
            for width, depth in zip(config.widths, config.depths, strict=True)
        )
        self.halvings = nn.ModuleList(HalvingConv(*widths) for widths in itertools.pairwise(config.widths))
        self.norms = nn.ModuleList(ChannelNorm(width) for width in config.widths)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(b, 3, h, w), normalised -> four maps (b, c, h, w), shallowest first, channels last in memory."""
        x = self.patch_embedding(image)
        features = []
        for level, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            x = stage(self.halvings[level - 1](x) if level else x)
            features.append(norm(x).permute(0, 3, 1, 2))
        return features
