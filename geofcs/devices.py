"""On what a model computes, in which precision and by which kernels, settled where it will run."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import torch

from geofcs.errors import InputError
from geofcs.model.kernels import choice_for
from geofcs.scoring import chosen_device, chosen_precision

NAMED_GPUS = re.compile(r"cuda:\d+(,\d+)*")


@dataclass(frozen=True)
class Compute:
    """A kind of device ("cpu", "cuda", "mps"), the precision of the arithmetic on it, and the kernels' name."""

    device: str
    precision: str
    kernel: str


def settle(device: str, precision: str) -> Compute:
    """What `--device` and `--precision` come to on the machine that asks. Raises `InputError` for what is not there."""
    kind = chosen_device(kind_of(device))
    return Compute(kind, chosen_precision(precision, kind), choice_for(kind).name)


def kind_of(device: str) -> str:
    """The kind in what `--device` says: "cuda" of "cuda:0,2"."""
    return "cuda" if NAMED_GPUS.fullmatch(device) else device


def gpus_of(device: str) -> tuple[str, ...]:
    """The GPUs that `--device` means, as CUDA_VISIBLE_DEVICES names them: those with the numbers given, else all.

    Raises `InputError` for one that is not there.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
    if not NAMED_GPUS.fullmatch(device):
        return tuple(names)
    numbers = [int(number) for number in device.removeprefix("cuda:").split(",")]
    beyond = [number for number in numbers if number >= len(names)]
    if beyond:
        raise InputError(f"--device {device}: GPU {beyond[0]} is not there; this machine has {len(names)}, from 0 on")
    return tuple(names[number] for number in dict.fromkeys(numbers))
