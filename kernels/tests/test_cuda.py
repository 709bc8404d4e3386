"""The CUDA kernels against float64, where there is a GPU; that they compile, where there is nvcc."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import geofcs_kernels
import properties
import pytest
import torch
from geofcs_kernels import cuda, images, nvrtc
from reference import ODD_SIZES, Size, arguments

on_gpu = pytest.mark.skipif(not geofcs_kernels.available("cuda").ok, reason=geofcs_kernels.available("cuda").reason)
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# A whole tile, clusters of 2, 4 and 16 tiles, two passes over ragged tiles and over many; ranks of the usual case.
TILED_SIZES = [
    Size(1, 64, 16, 16, 64),
    Size(2, 32, 16, 32, 8),
    Size(2, 64, 32, 32, 32),
    Size(1, 32, 64, 64, 16),
    Size(2, 40, 39, 50, 24),
    Size(1, 32, 100, 64, 8),
]

# Ranks that are multiples of 8, factors padded to R + 8: whole tiles, clusters, ragged tiles, half a group of channels.
USUAL_SIZES = [
    *TILED_SIZES,
    Size(2, 8, 1, 1, 8),
    Size(2, 40, 13, 9, 16),
    Size(1, 48, 16, 130, 40),
    Size(2, 64, 64, 32, 56),
    Size(1, 32, 16, 256, 128),
    Size(1, 24, 39, 50, 104),
]


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [*ODD_SIZES, *TILED_SIZES], ids=str)
@pytest.mark.parametrize("channels_first", [False, True])
def test_results_and_gradients_agree_with_float64(size: Size, dtype: torch.dtype, channels_first: bool) -> None:
    properties.agrees_with_float64(size, dtype, "cuda", channels_first=channels_first)


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("size", USUAL_SIZES, ids=str)
def test_the_usual_case_agrees_with_float64(size: Size, dtype: torch.dtype) -> None:
    properties.agrees_with_float64(size, dtype, "cuda", padding=6)


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_and_gradients_keep_shapes_and_dtypes(dtype: torch.dtype) -> None:
    properties.keeps_shapes_and_dtypes(dtype, "cuda")


@on_gpu
def test_the_same_call_gives_the_same_bits() -> None:
    properties.repeats_itself("cuda")


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_constant_maps_and_inputs_far_out_of_range_stay_finite(dtype: torch.dtype) -> None:
    properties.stays_finite("cuda", dtype)


@on_gpu
def test_float16_ends_at_its_largest_number_and_gradients_at_infinity() -> None:
    properties.keeps_float16_finite_but_not_its_gradients("cuda")


@on_gpu
def test_any_strides_give_what_contiguous_copies_give() -> None:
    properties.takes_any_strides("cuda")


@on_gpu
def test_empty_maps_give_empty_results() -> None:
    properties.serves_empty_maps("cuda")


@on_gpu
@pytest.mark.skipif(not nvrtc.available(), reason=nvrtc.MISSING)
def test_without_nvcc_the_kernels_are_compiled_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFCS_KERNELS_CACHE", str(tmp_path))
    monkeypatch.setattr(images, "BUILT", tmp_path / "absent")
    given = arguments(Size(1, 32, 20, 20, 3), torch.float32, "cuda")
    expected = geofcs_kernels.forward(*given)
    cuda.forget_modules()
    try:
        assert torch.equal(geofcs_kernels.forward(*given), expected)
    finally:
        cuda.forget_modules()
    assert list(tmp_path.glob("*.cubin"))


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc to compile the CUDA sources with")
@pytest.mark.timeout(300)
def test_the_cuda_sources_compile_for_the_oldest_and_a_recent_architecture(tmp_path: Path) -> None:
    targets = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in (80, 90)]
    command = ["nvcc", "-std=c++17", "-fatbin", "-Werror=all-warnings", "-DGEOFCS_ONLY=0", "--threads=2", *targets]
    done = subprocess.run(
        [*command, "-o", tmp_path / "kernels.fatbin", images.SOURCES / "kernels.cu"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
