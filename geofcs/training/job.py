"""A run set up: the model on its device, the optimiser, the average, what this process handles of each iteration."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from geofcs.classes import ClassScheme
from geofcs.errors import InputError
from geofcs.model.interface import ChangeModel, Logits
from geofcs.model.recording import recorded_training
from geofcs.scoring import DTYPES, chosen_device
from geofcs.training.config import RunConfig, TrainConfig
from geofcs.training.optimisers import optimiser
from geofcs.training.order import Share
from geofcs.training.processes import Lost, joined
from geofcs.training.state import averaged
from geofcs.training.teacher import Teacher

Passes = Callable[[Tensor, Tensor], Logits]

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}
"""float16 is not among them: it needs a loss scale, one more state that decides what a step does."""

COARSEST_STRIDE = 32
"""Pixels of a crop that become one of the deepest maps."""


@dataclass(frozen=True)
class Job:
    """What an iteration works with.

    `wrapped` is `model` as Fabric runs it: in the run's precision, its gradients summed over processes. `passes` runs
    the same, recorded where that can be. `stepper` is `optimizer` as Fabric runs it. `average` is the moving average of
    the weights, where the config asks for one; `teacher` knows more than the labels, if that is asked for and someone
    is good enough.
    """

    fabric: Fabric
    config: RunConfig
    classes: ClassScheme
    model: ChangeModel
    wrapped: Any
    passes: Passes
    optimizer: Optimizer
    stepper: Any
    average: AveragedModel | None
    teacher: Teacher
    share: Share

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.fabric.device

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return bool(self.fabric.is_global_zero)

    @property
    def judged(self) -> ChangeModel:
        """The model that is validated and written: the average, if there is one."""
        return self.model if self.average is None else cast(ChangeModel, self.average.module)


@contextmanager
def launched(config: RunConfig, lost: Lost) -> Iterator[Fabric]:
    """Fabric on the devices that a config asks for, each with a process of its own, as in `processes.joined`.

    Whatever must happen once is left to `Fabric.is_global_zero`. Raises `InputError` where the work does not divide.
    """
    train = config.train
    kind = chosen_device(train.device)
    if kind == "cuda" and train.devices > torch.cuda.device_count():
        raise InputError(f"train.devices is {train.devices}, but this machine has {torch.cuda.device_count()} GPUs")
    check_division(config)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else each process tells of its start
    fabric = Fabric(
        accelerator=kind,
        devices=train.devices,
        strategy="ddp" if train.devices > 1 else "auto",
        precision=PRECISIONS[_precision(train.precision, kind)],
    )
    torch.backends.cudnn.benchmark = kind == "cuda"  # every crop has one size: the fastest algorithm is found once
    with joined(train.devices, lost):
        fabric.launch()
        yield fabric


def check_division(config: RunConfig) -> None:
    """Raise `InputError` for a batch that its devices cannot divide, and for several that had to agree on a teacher."""
    if config.loss.pseudo_from is not None and config.train.devices > 1:
        raise InputError("loss.pseudo_from works on one device: say --set train.devices=1 or loss.pseudo_from=null")
    share_of(config.train, 0, config.train.devices, config.data.crop)


def share_of(train: TrainConfig, rank: int, ranks: int, crop: int) -> Share:
    """What one process handles. Raises `InputError` where the batch does not divide, or not into enough pixels."""
    parts = ranks * train.accumulate
    if train.batch % parts:
        raise InputError(
            f"train.batch is {train.batch}, which does not divide by {ranks} devices x {train.accumulate} accumulated "
            f"steps: say --set train.batch={max(1, train.batch // parts) * parts}"
        )
    if train.batch == parts and crop <= COARSEST_STRIDE:
        raise InputError(
            f"one pair of {crop} pixels at a time leaves batch norms a single value to take the variance of: say "
            f"--set data.crop={2 * COARSEST_STRIDE} or a larger train.batch"
        )
    return Share(rank, ranks, train.accumulate, train.batch // parts)


def job_of(fabric: Fabric, config: RunConfig, classes: ClassScheme, model: ChangeModel) -> Job:
    """Everything on its device.

    With several GPUs, batch norm sees the whole batch, as on one; several processes on a CPU each see their own part.
    """
    share = share_of(config.train, fabric.global_rank, fabric.world_size, config.data.crop)
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        model = cast(ChangeModel, nn.SyncBatchNorm.convert_sync_batchnorm(model))  # type: ignore[no-untyped-call]
    model.to(fabric.device).train()
    average = None if config.train.ema is None else averaged(model, config.train.ema)
    optimizer = optimiser(config.train, model.parameters())
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view")  # of depthwise weights: costs a copy
    wrapped, stepper = fabric.setup(model, optimizer)
    passes = _recorded(model, config, share.pairs, fabric.device) if _can_record(fabric, share) else wrapped
    return Job(fabric, config, classes, model, wrapped, passes, optimizer, stepper, average, Teacher(), share)


def _can_record(fabric: Fabric, share: Share) -> bool:
    """Whether passes can be recorded: not over several GPUs, and not where gradients of several parts add up.

    The gradients of a recording lie in the same memory each time.
    """
    return fabric.device.type == "cuda" and fabric.world_size == 1 and share.accumulate == 1


def _recorded(model: ChangeModel, config: RunConfig, pairs: int, device: torch.device) -> Passes:
    """Forward and backward pass as CUDA graphs, for batches of the one size that training has."""
    t1, t2 = (torch.zeros(pairs, 3, config.data.crop, config.data.crop, device=device) for _ in range(2))
    return recorded_training(model, t1, t2, DTYPES[_precision(config.train.precision, device.type)])


def _precision(wanted: str, device: str) -> str:
    if wanted != "auto":
        return wanted
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
