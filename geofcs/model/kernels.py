"""Which implementation of our operators runs on a kind of device, and why: the one place that decides."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from types import ModuleType
from typing import NamedTuple

from torch import Tensor

INSTALL = "geofcs-kernels is not installed; `pip install ./kernels` in geofcs's sources does it"


class Choice(NamedTuple):
    """What runs: the compiled kernels, if `kernels` is there, or plain torch; and how or why."""

    kernels: ModuleType | None
    name: str
    reason: str


@functools.cache
def choice_for(device_type: str) -> Choice:
    """What serves tensors of a kind of device ("cpu", "cuda", "mps") in the dtypes that the kernels know."""
    kernels = _installed()
    if kernels is None:
        return Choice(None, "torch", INSTALL)
    ok, reason = kernels.available(device_type)
    if not ok:
        return Choice(None, "torch", reason)
    return Choice(kernels, f"geofcs-kernels {kernels.__version__}", reason)


def kernels_for(device_type: str) -> ModuleType | None:
    """The compiled kernels for a kind of device; without them, warns once that plain torch runs and what to install."""
    choice = choice_for(device_type)
    if choice.kernels is None and device_type in ("cpu", "cuda"):
        _warn(choice.reason)
    return choice.kernels


def training_kernels(x: Tensor) -> ModuleType | None:
    """The fused layers with gradients for x, which exist for NVIDIA GPUs and the kernels' dtypes."""
    if not x.is_cuda:
        return None
    kernels = kernels_for("cuda")
    return kernels.training if kernels is not None and x.dtype in kernels.DTYPES else None


def _installed() -> ModuleType | None:
    if importlib.util.find_spec("geofcs_kernels") is None:
        return None
    return importlib.import_module("geofcs_kernels")


@functools.cache
def _warn(reason: str) -> None:
    warnings.warn(f"the model's scan runs in plain torch, several times slower: {reason}", RuntimeWarning, stacklevel=2)
