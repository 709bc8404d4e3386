"""SCanNet (doi 10.1109/TGRS.2024.3362795): a ResNet for both dates, three decoders, a transformer over all three."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.config import SCanNetConfig
from geofcs.model.cswin import ScanFormer
from geofcs.model.encoder import Normalise
from geofcs.model.fusion import ConvNorm
from geofcs.model.interface import ChangeModel, Logits
from geofcs.model.ladder import logits_at
from geofcs.model.resnet import ResNet, basic_blocks

PADDED_TO = 8
"""Deep maps are an eighth of the image's size, low ones a quarter: a multiple of 8 makes these exactly twice those."""


class UpDecoder(nn.Module):
    """Doubles a deep map, narrows a low one, and makes one of both."""

    def __init__(self, deep: int, low: int, narrowed: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deep, deep, 2, stride=2)
        self.narrow = ConvNorm(low, narrowed, 1, bias=False)
        self.join = ConvNorm(deep + narrowed, outputs, 3, bias=False)

    def forward(self, deep: Tensor, low: Tensor) -> Tensor:
        """(b, deep, h, w) and (b, low, 2h, 2w) -> (b, outputs, 2h, 2w)."""
        return F.relu(self.join(torch.cat([self.up(deep), F.relu(self.narrow(low))], 1)))


class ChangeHead(nn.Module):
    """From a map to one logit of change per position."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = ConvNorm(inputs, hidden, 1, bias=True)
        self.logit = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, 1, h, w)."""
        logit: Tensor = self.logit(F.relu(self.hidden(x)))
        return logit


class SCanNet(ChangeModel):
    """The whole model."""

    encoder: ResNet

    def __init__(self, config: SCanNetConfig) -> None:
        super().__init__()
        self.config = config
        width, wide = config.encoder.width, 2 * config.encoder.width
        self.normalise = Normalise(config.normalisation)
        self.encoder = ResNet(config.encoder)
        self.shrink = ConvNorm(8 * width, wide, 1, bias=False)
        self.compare = basic_blocks(2 * wide, wide, config.compare_depth)
        self.t1_decoder = UpDecoder(wide, width, width, wide)
        self.t2_decoder = UpDecoder(wide, width, width, wide)
        self.change_decoder = UpDecoder(wide, 2 * width, width, wide)
        self.transformer = ScanFormer(config.token_width, config.heads, config.depth)
        self.t1_head = nn.Conv2d(wide, config.classes, 1)
        self.t2_head = nn.Conv2d(wide, config.classes, 1)
        self.change_head = ChangeHead(wide, width)

    def forward(self, t1: Tensor, t2: Tensor) -> Logits:
        """Logits of two batches of images (b, 3, h, w), RGB 0-255, at least 32 pixels a side; change has one channel.

        In training each date passes through the encoder alone: batch norms know the statistics of one date at a time.
        """
        first, second = padded(self.normalise(t1, t2)).chunk(2)
        (deep1, low1), (deep2, low2) = self._features(first), self._features(second)
        compared = self.compare(torch.cat([deep1, deep2], 1))
        change = self.change_decoder(compared, torch.cat([low1, low2], 1))
        decoded = torch.cat([self.t1_decoder(deep1, low1), self.t2_decoder(deep2, low2), change], 1)
        of_t1, of_t2, of_change = self.transformer(decoded).chunk(3, 1)
        heads = ((self.change_head, of_change), (self.t1_head, of_t1), (self.t2_head, of_t2))
        logits = (logits_at(head, x, first.shape[-2:]) for head, x in heads)
        return Logits(*(each[..., : t1.shape[-2], : t1.shape[-1]] for each in logits))

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Deep and low maps of one date, at strides 8 and 4."""
        deep, low = self.encoder(images)
        return F.relu(self.shrink(deep)), low


def padded(images: Tensor) -> Tensor:
    """Images (b, 3, h, w), their last rows and columns repeated up to a multiple of 8, where a side needs it.

    It does where the low map's side, ceil(ceil(n / 2) / 2), is odd: no deep map doubles to that. (There the published
    code stops with an error.)
    """
    for axis in (2, 3):
        side = images.shape[axis]
        if low_side(side) % 2:
            places = torch.arange(side + -side % PADDED_TO, device=images.device).clamp(max=side - 1)
            images = images.index_select(axis, places)
    return images


def low_side(side: int) -> int:
    """The length of the low map's side for an image's: two halvings that round up."""
    return -(-side // 4)
