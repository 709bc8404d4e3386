"""Times how long a fresh process takes from weights in memory to the first tile."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from geofcs.bench.setting import Setting
from geofcs.model.inference import prepare
from geofcs.scoring import DTYPES


def first_tile(setting: Setting, device: str) -> dict[str, float]:
    """Seconds from weights in memory to the first logits, in fresh processes.

    On a GPU twice: with an empty cache of compiled kernels, and with what that left in it.
    """
    with tempfile.TemporaryDirectory() as cache:
        names = ("empty cache", "filled cache") if device == "cuda" else ("fresh process",)
        return {name: _in_a_fresh_process(setting, device, cache) for name in names}


def _in_a_fresh_process(setting: Setting, device: str, cache: str) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_seconds_to_first_tile, setting, device, torch.get_num_threads(), cache).result()


def _seconds_to_first_tile(setting: Setting, device: str, threads: int, cache: str) -> float:
    os.environ["GEOFCS_KERNELS_CACHE"] = cache
    torch.set_num_threads(threads)
    network, (t1, t2) = setting.network(), setting.images("cpu")
    start = time.perf_counter()
    with torch.inference_mode():
        logits = prepare(network.to(device), DTYPES[setting.precision])(t1.to(device), t2.to(device))
        logits.change.cpu()
    return time.perf_counter() - start
