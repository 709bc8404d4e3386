"""How busy a GPU is, as its driver counts it."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SECONDS_BETWEEN = 0.05


class _Utilization(ctypes.Structure):
    """As nvmlUtilization_t of NVIDIA's management library: percent of the last moments with any kernel running."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class GpuUse:
    """Samples of one GPU as (time.time(), percent); none where the driver's library is not there."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []
        self._ended = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[GpuUse]:
        """Take samples until the context ends."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            yield self
        finally:
            self._ended.set()
            watch.join()

    def idle_share(self, start: float, end: float) -> float | None:
        """The share of the time between two moments in which no kernel ran; None if nobody looked."""
        percents = [percent for moment, percent in self._samples if start <= moment <= end]
        return 1 - sum(percents) / len(percents) / 100 if percents else None

    def _watch(self) -> None:
        if not torch.cuda.is_available():
            return
        try:
            library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        handle, use = ctypes.c_void_p(), _Utilization()
        name = f"GPU-{str(torch.cuda.get_device_properties(0).uuid).removeprefix('GPU-')}".encode()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)):
            return
        while not self._ended.wait(SECONDS_BETWEEN):
            if library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(use)) == 0:
                self._samples.append((time.time(), use.gpu))
