"""Predictions and labels added up, batch by batch and across devices, in a confusion matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from geofcs.classes import IGNORE, NO_CHANGE
from geofcs.errors import InputError
from geofcs.model.maps import Maps
from geofcs.training.losses import CHANGED, Labels
from geofcs.training.quality import (
    BINARY_CHANGE,
    FROM_TO,
    FROM_TO_PUBLISHED,
    PER_DATE,
    PROTOCOLS,
    Quality,
    drawn_numbers,
    interval_of,
    quality_of,
)  # fmt: skip

MOST_CODES = 1000
"""A from-to matrix of more codes a side is refused: it would hold a million numbers per image."""


OA_UNITS = 1 << 40
"""Images' OA are added as whole numbers of this fraction: exactly, in any order, on devices without float64 too."""


class Tally(NamedTuple):
    """What `ChangeMetrics` adds up, int64: (C, C) counts, images' OA in units, how many; each one's own, if kept."""

    matrix: Tensor
    oa_sum: Tensor
    images: Tensor
    undefined: Tensor
    image_matrices: Tensor | None
    image_oa: Tensor | None


class ChangeMetrics(Metric):
    """The quality of change maps over all images, by one protocol.

    "per-date": the class maps of both dates, no change being 0, enter one (K, K) matrix. "from-to": each pixel's code
    1 + (a - 1)(K - 1) + (b - 1), or 0 where either date says 0, enters one of ((K - 1)^2 + 1) a side; in
    "from-to-published" a predicted 0 makes what it makes in ChangeMamba's evaluation. Binary maps
    (`classes` 1) know only changed and unchanged, whichever protocol. OA is the mean over images of an image's share of
    right pixels (of both dates' mean, per date), as published.

    With `keep_images` every image's own matrix is kept, for intervals. Sums are of whole numbers: the same whatever the
    batches, their order and the number of devices.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    matrix: Tensor
    oa_sum: Tensor
    images: Tensor
    undefined: Tensor
    image_matrices: list[Tensor]
    image_oa: list[Tensor]

    def __init__(self, classes: int, protocol: str = PER_DATE, *, keep_images: bool = False) -> None:
        super().__init__()
        known = (*PROTOCOLS, FROM_TO_PUBLISHED)
        if protocol not in known:
            raise InputError(f"no protocol is called {protocol!r}; known are {', '.join(known)}")
        self.protocol = BINARY_CHANGE if classes == 1 else protocol
        self.keep_images = keep_images
        self._covers = classes - 1
        self._side = {BINARY_CHANGE: 2, PER_DATE: classes}.get(self.protocol, self._covers**2 + 1)
        if self._side > MOST_CODES:
            raise InputError(f"{self._side} from-to codes are too many for one matrix: use the protocol {PER_DATE}")
        self.add_state("matrix", torch.zeros((self._side, self._side), dtype=torch.int64), "sum")
        self.add_state("oa_sum", torch.zeros((), dtype=torch.int64), "sum")
        self.add_state("images", torch.zeros((), dtype=torch.int64), "sum")
        self.add_state("undefined", torch.zeros((), dtype=torch.int64), "sum")
        self.add_state("image_matrices", [], "cat")
        self.add_state("image_oa", [], "cat")

    def update(self, predicted: Maps, labels: Labels) -> None:
        """Add a batch: maps and labels (b, h, w) of any integer type; labels of 255 do not count."""
        counts = self._counted(predicted, labels)  # (layers, b, C, C)
        matrices = counts.sum(0)
        right, all_pixels = counts.diagonal(dim1=-2, dim2=-1).sum(-1), counts.sum((-2, -1))
        shares = (right.cpu().double() / all_pixels.cpu()).mean(0)  # NaN where all of an image is ignored
        seen = ~shares.isnan()
        oa = (shares * OA_UNITS).round().nan_to_num().long().to(counts.device)
        seen = seen.to(counts.device)
        self.matrix += matrices.sum(0)
        self.oa_sum += oa[seen].sum()
        self.images += seen.sum()
        if self.keep_images:
            self.image_matrices.append(matrices[seen])
            self.image_oa.append(oa[seen])

    def compute(self) -> Tally:
        """Everything added so far, on every device."""
        return Tally(
            self.matrix, self.oa_sum, self.images, self.undefined, _together(self.image_matrices),
            _together(self.image_oa),
        )  # fmt: skip

    def quality(self) -> Quality:
        """The numbers of everything added so far, with intervals if images were kept."""
        tally: Tally = self.compute()
        images = int(tally.images)
        oa = int(tally.oa_sum) / OA_UNITS / images if images else float("nan")
        quality = quality_of(self.protocol, tally.matrix.cpu().numpy(), oa, images, int(tally.undefined))
        if tally.image_matrices is None or tally.image_oa is None:
            return quality
        found = drawn_numbers(tally.image_matrices.cpu().numpy(), tally.image_oa.reshape(-1).cpu().numpy() / OA_UNITS)
        draws = {name: found[name] for name in quality.numbers if name in found}
        return replace(quality, draws=draws, intervals={name: interval_of(drawn) for name, drawn in draws.items()})

    def _counted(self, predicted: Maps, labels: Labels) -> Tensor:
        """Each image's matrices, (1 or 2 layers, b, C, C)."""
        if self.protocol == BINARY_CHANGE:
            return self._matrices(predicted.change, labels.change)[None]
        if predicted.t1 is None or predicted.t2 is None or labels.t1 is None or labels.t2 is None:
            raise InputError("a binary map has no land cover to compare: evaluate it on labels of change alone")
        if self.protocol == PER_DATE:
            pairs = ((predicted.t1, labels.t1), (predicted.t2, labels.t2))
            return torch.stack([self._matrices(said, _where_changed(truth, labels.change)) for said, truth in pairs])
        if self.protocol == FROM_TO_PUBLISHED:
            said = self._aliased_codes(predicted.t1.long(), predicted.t2.long(), predicted.change == CHANGED)
        else:
            said, _ = self._codes(predicted.t1.long(), predicted.t2.long())
        truth, no_code = self._codes(_where_changed(labels.t1, labels.change), _where_changed(labels.t2, labels.change))
        no_code &= labels.change == CHANGED
        self.undefined += no_code.sum()
        return self._matrices(said, torch.where(no_code, IGNORE_CODE, truth), IGNORE_CODE)[None]

    def _codes(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """From-to codes of ids, and where a date says 0."""
        no_code = (before == NO_CHANGE) | (after == NO_CHANGE)
        codes = torch.where(no_code, NO_CHANGE, 1 + (before - 1) * self._covers + (after - 1))
        return torch.where((before == IGNORE) | (after == IGNORE), IGNORE_CODE, codes), no_code

    def _aliased_codes(self, before: Tensor, after: Tensor, changed: Tensor) -> Tensor:
        """Codes of maps as published, where 0 counts like any class and so yields the code of another transition.

        At T2 it is the last class after the one before; at T1 the code is negative, where the published code stops.
        """
        codes = torch.where(changed, 1 + (before - 1) * self._covers + (after - 1), NO_CHANGE)
        if bool((codes < 0).any()):
            raise InputError(
                f"{int((codes < 0).sum())} changed pixels are called class 0 at T1, for which the published evaluation "
                f"has no number: use the protocol {FROM_TO}"
            )
        return codes

    def _matrices(self, said: Tensor, truth: Tensor, ignored: int = IGNORE) -> Tensor:
        """(b, C, C) counts of (b, h, w) pairs of numbers, where the truth is not ignored."""
        batch = len(truth)
        said, truth = said.flatten(1).long(), truth.flatten(1).long()
        self._check(said, truth[truth != ignored])
        image = torch.arange(batch, device=truth.device)[:, None]
        cells = ((image * self._side + said) * self._side + truth)[truth != ignored]
        return cells.bincount(minlength=batch * self._side**2).reshape(batch, self._side, self._side)

    def _check(self, said: Tensor, truth: Tensor) -> None:
        for what, values in (("a map", said), ("a label", truth)):
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < self._side:
                low, high = int(values.min()), int(values.max())
                raise InputError(f"{what} has values from {low} to {high}; the model's classes end at {self._side - 1}")


IGNORE_CODE = -1
"""Codes may well reach 255, so a pixel without one is marked otherwise."""


def _where_changed(ids: Tensor, change: Tensor) -> Tensor:
    """Ids of changed pixels, 0 elsewhere, 255 where either is ignored."""
    ids = ids.long()
    ignored = (ids == IGNORE) | (change == IGNORE)
    return torch.where(ignored, IGNORE, torch.where(change == CHANGED, ids, NO_CHANGE))


def _together(states: list[Tensor] | Tensor) -> Tensor | None:
    """What a list state holds; after a reduction across devices it is one tensor."""
    if isinstance(states, Tensor):
        return states
    return torch.cat(states) if states else None
