"""The scans on CPUs: a shared library built at install time, called through ctypes on torch's memory."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import torch
from torch import Tensor

from geofcs_kernels.layout import CHANNEL_SUMS

LIBRARY = Path(__file__).parent / "lib" / ("geofcs_cpu.dll" if sys.platform == "win32" else "libgeofcs_cpu.so")
MISSING = (
    "the CPU library was not built: install a C++ compiler (Debian: apt install g++; macOS: xcode-select --install), "
    "then `pip install --force-reinstall ./kernels`"
)

_FOUR_POINTERS = (
    *("x", "factors", "dt_weight", "dt_bias", "a_log", "skip", "y"),
    *("grad_y", "grad_x", "grad_z", "grad_bc", "channel_sums"),
)
_FOUR_SIZES = ("batch", "channels", "height", "width", "rank", "threads", "x_type", "factors_type")
NUMBER_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""As `csrc/cpu/numbers.h` numbers them."""


class FourDirectionScan(ctypes.Structure):
    """`FourDirectionScan` of `csrc/cpu/scan.h`."""

    _fields_ = [(name, ctypes.c_void_p) for name in _FOUR_POINTERS] + [(name, ctypes.c_int64) for name in _FOUR_SIZES]


@functools.cache
def library() -> ctypes.CDLL | None:
    """The built library, or None."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None
    found.geofcs_instructions.restype = ctypes.c_char_p
    return found


def instructions() -> str:
    """The instruction set that runs here."""
    name: bytes = loaded().geofcs_instructions()
    return name.decode()


def keep_memory() -> bool:
    """Have the C library keep freed memory for the process's next tensors; False where it cannot be told so.

    Otherwise tensors of more than 32 MB are new to the process each time, and clearing their pages takes some 7 % of a
    model call.
    """
    return bool(loaded().geofcs_keep_memory())


def forward(x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor) -> Tensor:
    """`geofcs_kernels.forward` on a CPU."""
    scan = _Scan(x, factors, dt_weight, dt_bias, a_log, skip)
    y = torch.empty_like(scan.image)
    scan.call("geofcs_forward", y=y)
    return y.permute(0, 3, 1, 2)


def backward(
    grad: Tensor, x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> tuple[Tensor, ...]:
    """`geofcs_kernels.backward` on a CPU."""
    given = (x, factors, dt_weight, dt_bias, a_log, skip)
    scan = _Scan(x.float(), factors.float(), *given[2:])
    image, maps, weight = scan.image, scan.maps, scan.parameters[0]
    batch, height, width, channels = image.shape
    rank = weight.shape[-1]
    blocks = -(-channels // loaded().geofcs_lanes())
    grad_x = torch.empty_like(image)
    grad_z = image.new_empty(4, batch * height * width, channels)
    grad_bc = image.new_zeros(blocks, batch, height, width, 4, 2)
    sums = image.new_zeros(batch, CHANNEL_SUMS, channels)
    scan.call(
        "geofcs_backward",
        grad_y=_channels_last(grad.float()),
        grad_x=grad_x,
        grad_z=grad_z,
        grad_bc=grad_bc,
        channel_sums=sums,
    )
    grad_maps = torch.empty_like(maps)
    grad_maps[..., :rank] = torch.bmm(grad_z, weight).view(4, batch, height, width, rank).permute(1, 2, 3, 0, 4)
    grad_maps[..., rank:] = grad_bc.sum(0)
    dt = maps[..., :rank].permute(3, 0, 1, 2, 4).reshape(4, -1, rank)
    grad_weight = torch.bmm(grad_z.mT, dt)
    total = sums.sum(0)
    of_x, of_factors = grad_x.permute(0, 3, 1, 2), grad_maps.permute(0, 3, 4, 1, 2)
    gradients = (of_x, of_factors, grad_weight, total[:4], total[4:8], total[8:].repeat(4, 1))
    of_x, of_factors, *others = (g.to(t.dtype) for g, t in zip(gradients, given, strict=True))
    return of_x, torch.empty_like(factors).copy_(of_factors), *others


class _Scan:
    """The arguments as the library reads them: maps channels-last and contiguous, parameters float32."""

    def __init__(
        self, x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
    ) -> None:
        self.image = _channels_last(x)
        known = factors if factors.dtype in NUMBER_TYPES else factors.float()
        self.maps = known.permute(0, 3, 4, 1, 2).contiguous()
        self.parameters = [t.detach().to(torch.float32).contiguous() for t in (dt_weight, dt_bias, a_log, skip)]

    def call(self, function: str, **maps: Tensor) -> None:
        """Run a function of the library with these arguments and further maps."""
        batch, height, width, channels = self.image.shape
        if self.image.numel() == 0:
            return
        named = dict(zip(_FOUR_POINTERS, (self.image, self.maps, *self.parameters), strict=False)) | maps
        types = (NUMBER_TYPES[self.image.dtype], NUMBER_TYPES[self.maps.dtype])
        sizes = (batch, channels, height, width, self.parameters[0].shape[-1], torch.get_num_threads(), *types)
        parameters = FourDirectionScan(
            **{name: t.data_ptr() for name, t in named.items()}, **dict(zip(_FOUR_SIZES, sizes, strict=True))
        )
        getattr(loaded(), function)(ctypes.byref(parameters))


def _channels_last(image: Tensor) -> Tensor:
    """(b, D, H, W) -> (b, H, W, D), contiguous; the same memory if it is so already."""
    return image.permute(0, 2, 3, 1).contiguous()


def loaded() -> ctypes.CDLL:
    """The built library; an error that says what to install where it is missing."""
    found = library()
    if found is None:
        raise RuntimeError(MISSING)
    return found
