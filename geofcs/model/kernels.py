"""Which implementation of our operators runs on a kind of device, and why: the one place that decides."""

from __future__ import annotations

import functools
import warnings
from types import ModuleType
from typing import NamedTuple

try:
    import geofcs_kernels
except ImportError:
    geofcs_kernels = None

INSTALL = "geofcs-kernels is not installed; `pip install ./kernels` in geofcs's sources does it"


class Choice(NamedTuple):
    """What runs: the compiled kernels, if `kernels` is there, or plain torch; and how or why."""

    kernels: ModuleType | None
    name: str
    reason: str


@functools.cache
def choice_for(device_type: str) -> Choice:
    """What serves tensors of a kind of device ("cpu", "cuda", "mps") in the dtypes that the kernels know."""
    if geofcs_kernels is None:
        return Choice(None, "torch", INSTALL)
    ok, reason = geofcs_kernels.available(device_type)
    if not ok:
        return Choice(None, "torch", reason)
    return Choice(geofcs_kernels, f"geofcs-kernels {geofcs_kernels.__version__}", reason)


def kernels_for(device_type: str) -> ModuleType | None:
    """The compiled kernels for a kind of device; without them, warns once that plain torch runs and what to install."""
    choice = choice_for(device_type)
    if choice.kernels is None and device_type in ("cpu", "cuda"):
        _warn(choice.reason)
    return choice.kernels


@functools.cache
def _warn(reason: str) -> None:
    warnings.warn(f"the model's scan runs in plain torch, several times slower: {reason}", RuntimeWarning, stacklevel=2)
