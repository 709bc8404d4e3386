"""Metrics of several processes are those of one that saw everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.distributed
from torch.multiprocessing import spawn  # type: ignore[attr-defined]  # not declared as exported

from geofcs.model.maps import Maps
from geofcs.training.losses import Labels
from geofcs.training.metrics import ChangeMetrics
from geofcs.training.quality import PROTOCOLS, Quality

IMAGES, CLASSES = 5, 5


def images() -> tuple[Maps, Labels]:
    """Maps and labels that agree in places."""
    dice = torch.Generator().manual_seed(0)
    change = torch.rand((2, IMAGES, 16, 16), generator=dice) < 0.4
    ids = torch.randint(1, CLASSES, (2, 2, IMAGES, 16, 16), generator=dice) * change
    return Maps(change[0].long(), ids[0, 0], ids[1, 0]), Labels(change[1].long(), ids[0, 1], ids[1, 1])


def measured(protocol: str, numbers: list[int]) -> Quality:
    maps, labels = images()
    metrics = ChangeMetrics(CLASSES, protocol, keep_images=True)
    for number in numbers:
        one = slice(number, number + 1)
        metrics.update(
            Maps(*(each[one] for each in maps if each is not None)),
            Labels(*(each[one] for each in labels if each is not None)),
        )
    return metrics.quality()


def one_process(rank: int, folder: str) -> None:
    """Three images, or two."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = [measured(protocol, list(range(rank, IMAGES, 2))) for protocol in PROTOCOLS]
    if rank == 0:
        torch.save([(each.matrix, each.numbers, each.intervals) for each in found], f"{folder}/found.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    spawn(one_process, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    found = torch.load(tmp_path / "found.pt", weights_only=False)  # our own
    order = [0, 2, 4, 1, 3]  # of the first process, then of the second
    for protocol, (matrix, numbers, intervals) in zip(PROTOCOLS, found, strict=True):
        alone = measured(protocol, order)
        assert np.array_equal(matrix, alone.matrix)
        assert numbers == alone.numbers and intervals == alone.intervals
