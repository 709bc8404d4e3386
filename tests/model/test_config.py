"""Sizes of the models: what the published ones have, what `pico` promises, what a tile takes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, replace
from math import prod

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from geofcs.errors import InputError
from geofcs.model.build import ARCHITECTURES, build, model_of, parameter_count
from geofcs.model.config import (
    STATISTICS,
    ChangeConfig,
    EncoderConfig,
    changemamba_config,
    encoder_config,
    mamba_fcs_config,
    scannet_config,
)
from geofcs.model.memory import held_bytes
from geofcs.model.sizes import ENCODERS, changemamba, mamba_fcs, pico, scannet
from tests.model.conformance import manifest


def scan_flops(x: tuple[int, ...], _factors: object, dt_weight: tuple[int, ...], *_: object, **__: object) -> int:
    """The scan's only matrix product: step sizes from their factors, at every position."""
    return 2 * x[0] * x[2] * x[3] * prod(dt_weight)


def gigaflops(config: ChangeConfig, tile: int) -> float:
    """Convolution and matrix products of one pair of tiles, 2 per multiply-add."""
    counting = FlopCounterMode(display=False, custom_mapping={torch.ops.geofcs.four_direction_scan: scan_flops})
    with FakeTensorMode(), torch.no_grad(), counting:
        images = torch.empty(1, 3, tile, tile)
        model_of(config).eval()(images, images)
    return float(counting.get_total_flops() / 1e9)


def test_pico_is_as_small_as_promised() -> None:
    config = pico(classes=7)
    stored = sum(t.numel() * 2 for t in build(config, seed=0).state_dict().values() if t.is_floating_point())
    assert 11e6 < stored <= 12e6
    assert gigaflops(config, 512) == pytest.approx(17.9, abs=0.1)


def test_base_has_the_published_size() -> None:
    shapes = manifest("mambafcs_base_second")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    live = {k: s for k, s in shapes.items() if ".cross_attn." not in k and not k.endswith(buffers)}
    assert parameter_count(mamba_fcs("base", 7)) == sum(prod(shape) for shape in live.values())
    assert parameter_count(ENCODERS["base"]) == 87_534_592
    assert gigaflops(mamba_fcs("base", 7), 512) == pytest.approx(555, abs=1)


def test_changemamba_of_base_size_takes_the_published_operations_and_its_small_one_is_small() -> None:
    assert gigaflops(changemamba("base", 7), 512) == pytest.approx(450, abs=1)
    assert parameter_count(changemamba("pico", 7)) < 6e6


@pytest.mark.parametrize("name", ENCODERS)
def test_every_published_encoder_makes_a_model(name: str) -> None:
    assert parameter_count(mamba_fcs(name, 5)) > parameter_count(ENCODERS[name]) > 20e6


@pytest.mark.parametrize("width", [2, 6, 10, 40])
def test_pico_comes_in_any_even_width(width: int) -> None:
    model = build(pico(2, width=width, depths=(1, 1, 1, 1)), seed=0).eval()
    images = torch.zeros(1, 3, 32, 32)
    assert model(images, images).t1.shape == (1, 2, 32, 32)


def test_a_config_survives_being_written_down() -> None:
    config = replace(pico(3, ratio=1.5), fft=False)
    assert mamba_fcs_config(asdict(config)) == config
    rival = replace(changemamba("tiny", 5), decoder_width=24)
    assert changemamba_config(asdict(rival)) == rival
    other = replace(scannet("small", 5), heads=6, normalisation=STATISTICS["landsat"])
    assert scannet_config(asdict(other)) == other
    assert encoder_config(asdict(config.encoder)) == config.encoder


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mamba_fcs("huge", 7), "tiny.*base"),
        (lambda: changemamba("tiny-s1l8", 7), "pico, tiny, small, base"),
        (lambda: replace(changemamba("tiny", 7), decoder_width=0), "width 0"),
        (lambda: EncoderConfig(23, (2, 2, 2, 2)), "even"),
        (lambda: EncoderConfig(24, (2, 0, 2, 2)), "one block"),
        (lambda: pico(0), "0 classes"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(make: type, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


HELD = [("mamba-fcs", "pico", 7), ("mamba-fcs", "pico", 40), ("changemamba", "pico", 7), ("scannet", "small", 7)]
PEAKS = """
import os, sys, torch
from geofcs.model.build import ARCHITECTURES, build
from geofcs.model.interface import scores_of

def resident(kind):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(kind))

def peak(architecture, size, classes):
    model = build(ARCHITECTURES[architecture].sized(size, int(classes)), 0).eval()
    images = torch.zeros(2, 3, 512, 512)
    with torch.inference_mode():
        model(images[:1, :, :64, :64], images[:1, :, :64, :64])  # loads libraries
    open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    before = resident("VmRSS")
    with torch.inference_mode():
        scores_of(model(images, images))
    return resident("VmHWM") - before

torch.set_num_threads(1)
for each in sys.argv[1:]:
    if os.fork() == 0:
        os.write(1, f"{each} {peak(*each.split('/'))}\\n".encode())
        os._exit(0)
sys.exit(any([os.wait()[1] for _ in sys.argv[1:]]))
"""
"""A process for each model, which shares nothing with the others but the import of torch."""


@pytest.fixture(scope="module")
def peaks() -> dict[str, int]:
    """Bytes by which memory grows while each model looks at two tiles of 512.

    Every tensor is mapped on its own and unmapped when freed: where the heap leaves holes is chance.
    """
    command = [sys.executable, "-c", PEAKS, *(f"{name}/{size}/{classes}" for name, size, classes in HELD)]
    alone = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=alone).stdout
    return {model: int(peak) for model, peak in map(str.split, said.splitlines())}


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="reads /proc, asks glibc")
@pytest.mark.parametrize(("architecture", "size", "classes"), HELD)
def test_a_tile_takes_the_memory_that_is_said(
    architecture: str, size: str, classes: int, peaks: dict[str, int]
) -> None:
    config = ARCHITECTURES[architecture].sized(size, classes)
    peak = peaks[f"{architecture}/{size}/{classes}"]
    assert held_bytes(config, tile=512, batch=2) == pytest.approx(peak, rel=0.1)
