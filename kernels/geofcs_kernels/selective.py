"""The selective scan of any state size and grouping, forward and backward: plain but correct, on CPUs and GPUs."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from geofcs_kernels import cpu, cuda

_GIVEN = ("u", "delta", "A", "B", "C", "D", "delta_bias")
_GRADIENTS = tuple(f"grad_{name}" for name in ("u", "delta", "A", "B", "C", "D", "bias"))
_SIZES = ("batch", "channels", "groups", "states", "length")
_POINTERS = (*_GIVEN, "y", "grad_y", *_GRADIENTS)
_THREADS = 64  # of a CUDA block


class _OnCpu(ctypes.Structure):
    """`SelectiveScan` of `csrc/cpu/scan.h`."""

    _fields_ = [(name, ctypes.c_void_p) for name in _POINTERS] + [
        (name, ctypes.c_int64) for name in (*_SIZES, "threads")
    ]


class _OnGpu(ctypes.Structure):
    """`SelectiveParams` of `csrc/cuda/selective.cuh`."""

    _fields_ = [(name, ctypes.c_void_p) for name in (*_POINTERS, "scratch")] + [
        (name, ctypes.c_int64) for name in _SIZES
    ]


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """Mamba's selective scan along the last axis: `geofcs.model.scan.selective_scan_definition`.

    Shapes: u, delta (b, g d, l); A (g d, N); B, C (b, g, N, l); D, delta_bias (g d). Returns y (b, g d, l) in u's
    dtype; computed in float32, or in float64 on a CPU if u is.
    """
    tensors = _wide(u, (u, delta, A, B, C, D, delta_bias))
    y = torch.empty_like(tensors["u"])
    _run("forward", tensors | {"y": y})
    return y.to(u.dtype)


def selective_scan_backward(
    grad: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of `selective_scan`'s seven arguments, of their shapes and dtypes, for `grad` (b, g d, l)."""
    given = (u, delta, A, B, C, D, delta_bias)
    tensors = _wide(u, given)
    wide_u, (groups, states, length) = tensors["u"], B.shape[1:]
    batch, channels = u.shape[:2]
    per_channel = {
        "grad_u": wide_u.new_empty(u.shape),
        "grad_delta": wide_u.new_empty(u.shape),
        "grad_A": wide_u.new_empty(batch, channels, states),
        "grad_B": wide_u.new_empty(batch, channels, states, length),
        "grad_C": wide_u.new_empty(batch, channels, states, length),
        "grad_D": wide_u.new_empty(batch, channels),
        "grad_bias": wide_u.new_empty(batch, channels),
    }
    _run("backward", tensors | {"grad_y": grad.to(wide_u.dtype).contiguous()} | per_channel)
    of_u, of_delta, of_A, of_B, of_C, of_D, of_bias = per_channel.values()
    in_groups = (batch, groups, channels // groups, states, length)
    of_B, of_C = of_B.view(in_groups).sum(2), of_C.view(in_groups).sum(2)
    gradients = (of_u, of_delta, of_A.sum(0), of_B, of_C, of_D.sum(0), of_bias.sum(0))
    return tuple(g.to(t.dtype) for g, t in zip(gradients, given, strict=True))


def _wide(u: Tensor, given: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The arguments by name, contiguous, in the type that is computed in."""
    wide = torch.float64 if u.dtype == torch.float64 and u.device.type == "cpu" else torch.float32
    return {name: t.detach().to(wide).contiguous() for name, t in zip(_GIVEN, given, strict=True)}


def _run(direction: str, tensors: dict[str, Tensor]) -> None:
    u = tensors["u"]
    if u.numel() == 0:
        return
    groups, states, length = tensors["B"].shape[1:]
    sizes = dict(zip(_SIZES, (*u.shape[:2], groups, states, length), strict=True))
    pointers = {name: t.data_ptr() for name, t in tensors.items()}
    if u.device.type == "cuda":
        _run_on_gpu(direction, u, pointers, sizes)
        return
    parameters = _OnCpu(**pointers, **sizes, threads=torch.get_num_threads())
    suffix = "float64" if u.dtype == torch.float64 else "float32"
    getattr(cpu.loaded(), f"geofcs_selective_{direction}_{suffix}")(ctypes.byref(parameters))


def _run_on_gpu(direction: str, u: Tensor, pointers: dict[str, int], sizes: dict[str, int]) -> None:
    scratch = u.new_empty(u.shape[0], u.shape[1], sizes["states"], u.shape[2] if direction == "backward" else 0)
    parameters = _OnGpu(**pointers, scratch=scratch.data_ptr(), **sizes)
    blocks = -(-u.shape[0] * u.shape[1] // _THREADS)
    with torch.cuda.device(u.device):
        cuda.module(u.device.index, "float32").launch(
            f"selective_{direction}",
            parameters,
            blocks=(blocks, 1),
            threads=_THREADS,
            shared_bytes=0,
            stream=torch.cuda.current_stream(u.device).cuda_stream,
        )
