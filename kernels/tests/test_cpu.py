"""The CPU library against float64."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geofcs_kernels
import properties
import pytest
import torch
from reference import ODD_SIZES, Size, arguments

pytestmark = pytest.mark.skipif(not geofcs_kernels.available("cpu").ok, reason=geofcs_kernels.available("cpu").reason)
KERNELS = Path(__file__).parents[1]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
def test_results_and_gradients_agree_with_float64_at_odd_sizes(size: Size) -> None:
    properties.agrees_with_float64(size, torch.float32, "cpu")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels_first", [False, True])
def test_results_and_gradients_agree_with_float64_in_every_dtype_and_layout(
    dtype: torch.dtype, channels_first: bool
) -> None:
    properties.agrees_with_float64(Size(2, 21, 19, 23, 5), dtype, "cpu", channels_first=channels_first)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_and_gradients_keep_shapes_and_dtypes(dtype: torch.dtype) -> None:
    properties.keeps_shapes_and_dtypes(dtype, "cpu")


def test_the_same_call_gives_the_same_bits() -> None:
    properties.repeats_itself("cpu")


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    given = arguments(Size(1, 70, 9, 14, 3), torch.float32)
    threads = torch.get_num_threads()
    many = properties.both(given, given[0])
    torch.set_num_threads(1)
    try:
        one = properties.both(given, given[0])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(many, one, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_constant_maps_and_inputs_far_out_of_range_stay_finite(dtype: torch.dtype) -> None:
    properties.stays_finite("cpu", dtype)


def test_float16_ends_at_its_largest_number_and_gradients_at_infinity() -> None:
    properties.keeps_float16_finite_but_not_its_gradients("cpu")


def test_any_strides_give_what_contiguous_copies_give() -> None:
    properties.takes_any_strides("cpu")


def test_empty_maps_give_empty_results() -> None:
    properties.serves_empty_maps("cpu")


def test_float64_is_left_to_plain_torch() -> None:
    with pytest.raises(ValueError, match="plain torch"):
        geofcs_kernels.forward(*arguments(Size(1, 2, 2, 2, 1), torch.float64))


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_memory_that_is_kept_is_not_new_to_the_process_again() -> None:
    script = (
        "import resource, torch; from geofcs_kernels import cpu; assert cpu.keep_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "torch.ones(2**25); before = faults(); torch.ones(2**24); print(faults() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=KERNELS)
    assert int(done.stdout) < 1000  # of 16384 pages
