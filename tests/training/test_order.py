"""Which pairs come when: every pair once an epoch, the same whoever asks, from whichever iteration on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
import torch

from geofcs.errors import InputError
from geofcs.training.data import Sample
from geofcs.training.loading import batches
from geofcs.training.order import Draw, Order, Share

ALONE = Share(0, 1, 1, 3)


def drawn(share: Share, iteration: int, steps: int, length: int = 7, seed: int = 1) -> list[list[Draw]]:
    return list(islice(iter(Order(length, seed, share, iteration)), steps))


def test_every_pair_comes_once_an_epoch_in_an_order_that_differs_from_epoch_to_epoch() -> None:
    pairs = [draw.pair for step in drawn(ALONE, 0, 14) for draw in step]
    epochs = [pairs[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_an_order_that_begins_later_goes_on_as_the_one_from_the_start() -> None:
    assert drawn(ALONE, 5, 4) == drawn(ALONE, 0, 9)[5:]


@pytest.mark.parametrize(("ranks", "accumulate"), [(2, 1), (1, 3), (2, 3)])
def test_processes_and_accumulated_steps_share_what_one_process_sees(ranks: int, accumulate: int) -> None:
    whole = Share(0, 1, 1, 6)
    shares = [Share(rank, ranks, accumulate, 6 // ranks // accumulate) for rank in range(ranks)]
    for iteration, (expected,) in enumerate(zip(drawn(whole, 0, 4), strict=True)):
        seen = [draw for share in shares for step in drawn(share, iteration, accumulate) for draw in step]
        assert sorted(seen) == sorted(expected)


def test_another_seed_gives_another_order() -> None:
    assert drawn(ALONE, 0, 7, seed=1) != drawn(ALONE, 0, 7, seed=2)


@dataclass(frozen=True)
class Coordinates:
    """Pairs whose pixels are their own coordinates, 12 x 12; one may be broken."""

    broken: int | None = None

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Sample:
        if index == self.broken:
            raise InputError("label1/4.png: pixel (3, 5) has the colour (1, 2, 3), which is no class")
        rows, cols = np.mgrid[:12, :12].astype(np.uint8)
        image = np.stack([rows, cols, np.full_like(rows, index)])
        return Sample(image, image, rows, cols, rows, str(index))


def test_a_crop_cuts_images_and_labels_alike_and_moves_about() -> None:
    corners = set()
    for batch in islice(batches(Coordinates(), 8, 1, Share(0, 1, 1, 2), 0, 0, pinned=False), 2):
        assert torch.equal(batch.t1[:, 0], batch.change)
        assert torch.equal(batch.t2[:, 1], batch.label1)
        assert batch.t1.shape == (2, 3, 8, 8)
        corners |= {(int(image[0, 0, 0]), int(image[1, 0, 0])) for image in batch.t1}
    assert len(corners) > 1


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_pair_reaches_the_main_process_as_one_line(workers: int) -> None:
    with pytest.raises(InputError, match=r"^label1/4\.png: pixel \(3, 5\) .* no class$"):
        list(islice(batches(Coordinates(4), 8, 1, Share(0, 1, 1, 5), 0, workers, pinned=False), 3))


def test_worker_processes_give_the_batches_that_the_main_process_gives() -> None:
    alone, helped = (
        [
            next(batches(Coordinates(), 8, 3, Share(0, 1, 1, 2), iteration, workers, pinned=False))
            for iteration in (0, 1)
        ]
        for workers in (0, 2)
    )
    for a, b in zip(alone, helped, strict=True):
        assert a.names == b.names
        assert torch.equal(a.t1, b.t1)
