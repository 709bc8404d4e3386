"""The four-direction scan on NVIDIA GPUs: chooses the passes, allocates what they exchange, launches them."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import torch
from torch import Tensor

from geofcs_kernels import driver, images, layout
from geofcs_kernels.driver import Module, tensor_map
from geofcs_kernels.layout import (
    CHANNEL_SUMS,
    JOINED,
    LANES,
    RECORD_REST,
    SIDE,
    SUFFIXES,
    THREADS,
    USUAL_THREADS,
    FactorParts,
    Kernel,
    Parameters,
    Rows,
    ScanParams,
    TensorMap,
    UsualParams,
    shape_of,
)

LOG2_E = 1 / math.log(2)
CLUSTER_TILES = (2, 4, 8, 16)
"""Numbers of tiles of a map that are scanned in one pass, by as many blocks that read each other's shared memory."""

USUAL_RANK = 128
"""The largest R whose factors of a tile fit into shared memory beside the rest."""


def module(device: int, variant: str) -> Module:
    """A variant of the kernels, loaded on a GPU: one file with all of them, or a compilation for each."""
    return _module(device, images.unit_of(variant))


@functools.cache
def _module(device: int, unit: str) -> Module:
    with torch.cuda.device(device):
        return Module(images.image_for(torch.cuda.get_device_capability(device), unit))


def forget_modules() -> None:
    """Load (or compile) the kernels anew at their next use."""
    _module.cache_clear()


@functools.cache
def _most_shared(device: int) -> int:
    """Shared memory that a block may have."""
    with torch.cuda.device(device):
        torch.cuda.current_stream().synchronize()  # the driver's context exists from here on
        return driver.shared_memory_limit(device)


class _Scan:
    """One scan's sizes, parameters and launches."""

    def __init__(
        self,
        x: Tensor,
        factors: Tensor,
        dt_weight: Tensor,
        dt_bias: Tensor,
        a_log: Tensor,
        skip: Tensor,
        *,
        try_usual: bool = True,
    ) -> None:
        self.x, self.shape, self.rank = x, shape_of(x, dt_weight), dt_weight.shape[-1]
        self.factors = factors.to(x.dtype)
        shape, at_once = self.shape, _factor_bytes(self.factors)
        usual = try_usual and at_once == 16 and self.rank <= USUAL_RANK and _usual_map(x)
        self.usual = usual and _capability(x.device.index) >= (9, 0)
        wide = [t.to(torch.float32).contiguous() for t in (dt_weight, dt_bias, a_log, skip)]
        self._variant = SUFFIXES[x.dtype] + "_fast" if self.usual else ""
        self.weights = [self._records(wide), *wide[1:]] if self.usual else [(wide[0] * LOG2_E).to(x.dtype), *wide[1:]]
        self.parameters = ScanParams(
            x=x.data_ptr(),
            x_strides=_strides(x),
            factors=self.factors.data_ptr(),
            factor_strides=_strides(self.factors),
            **dict(zip(("dt_weight", "dt_bias", "a_log", "skip"), (t.data_ptr() for t in self.weights), strict=True)),
            **{name: getattr(shape, name) for name in ("batch", "channels", "height", "width", "rank")},
            **{name: getattr(shape, name) for name in ("tile_rows", "tile_cols", "chunks", "rank_padded")},
            factor_bytes=at_once,
            # 16 bytes at once reach R + 8; products reach the next multiple of 16.
            zero_fill=int(at_once != 16 and self.rank % 16 != 0),
            weight_bytes=16 if self.rank % 8 == 0 else 0,
            x_bytes=_channel_bytes(x),
        )

    def _records(self, parameters: list[Tensor]) -> Tensor:
        """The parameters, laid out for the kernels of the usual case."""
        pairs = self.shape.channels // 2
        records = self.x.new_empty(4, pairs, self.rank + RECORD_REST, dtype=torch.int32)
        given = Parameters(*(t.data_ptr() for t in (*parameters, records)), pairs, self.rank)
        blocks = -(-4 * pairs * self.rank // 2 // USUAL_THREADS)
        self._launch(f"prepare_{SUFFIXES[self.x.dtype]}", (blocks, 1), USUAL_THREADS, 0, 1, given)
        return records

    def launch(self, kernel: Kernel, *, cluster: int = 1, **maps: Tensor) -> None:
        """A kernel over all tiles. `maps`: what the kernels of the usual case read and write by bulk copies."""
        if self.usual:
            name = f"usual_{kernel.name}_{SUFFIXES[self.x.dtype]}"
            shared, parameters = kernel.usual_bytes(self.shape), self._usual_parameters(maps)
            self._launch(name, self.shape.grid, USUAL_THREADS, shared, cluster, parameters)
            return
        sizes = {slots: kernel.shared_bytes(self.shape, self.x.dtype, slots) for slots in (4, 1)}
        fits = self.rank <= self.shape.rank_padded and sizes[4] <= self._shared_target(sizes[1])
        self.parameters.weight_slots = slots = 4 if fits else 1
        self._variant = SUFFIXES[self.x.dtype] + ("_fast" if fits and self._usual() else "")
        self._launch(f"{kernel.name}_{self._variant}", self.shape.grid, THREADS, sizes[slots], cluster)

    def _usual_parameters(self, maps: dict[str, Tensor]) -> UsualParams:
        known = self.parameters
        pointers = ("gain", "state", "adjoint", "grad_z", "grad_bc", "channel_sums")
        sizes = ("batch", "channels", "height", "width", "rank", "tile_rows", "tile_cols", "chunks")
        return UsualParams(
            dt=self._factor_maps(0, self.rank),
            bc=self._factor_maps(self.rank, 2),
            records=known.dt_weight,
            **{name: _map(image) for name, image in maps.items()},
            **{name: getattr(known, name) for name in (*pointers, *sizes)},
        )

    def _factor_maps(self, first: int, count: int) -> ctypes.Array[Any]:
        """`count` numbers of the factors from `first` on, for tiles row by row and column by column."""
        address, box = self.factors.data_ptr() + 2 * first, (max(count, 8), 1, SIDE, SIDE, 1)
        images, _, _, rows, cols = self.factors.shape
        batch, direction, _, row, col = self.factors.stride()
        by_row = tensor_map(address, (count, 4, cols, rows, images), (direction, col, row, batch), box)
        by_col = tensor_map(address, (count, 4, rows, cols, images), (direction, row, col, batch), box)
        return (TensorMap * 2)(by_row, by_col)

    def _usual(self) -> bool:
        """Whether `Fast` of `csrc/cuda/numbers.cuh` serves: the usual case on GPUs without bulk copies."""
        parameters = self.parameters
        maps = parameters.x_bytes == 16 and (parameters.grad_y is None or parameters.grad_y_bytes == 16)
        return maps and parameters.factor_bytes == 16 and self.rank % 8 == 0 and self.rank <= 32

    def _shared_target(self, least: int) -> int:
        """What keeps two blocks on a multiprocessor, where one direction's weights alone would; else what fits."""
        most = _most_shared(self.x.device.index)
        both = (most - 1024) // 2
        return both if least <= both else most

    def fits_cluster(self) -> bool:
        """Whether the tiles of a map can be scanned in one pass."""
        device = self.x.device.index
        if self.shape.tiles not in CLUSTER_TILES or _capability(device) < (9, 0):
            return False
        return not self.usual or layout.FORWARD_CLUSTER.usual_bytes(self.shape) <= _most_shared(device)

    def carry(self, which: str, recurrences: int) -> None:
        """The kernel between two passes, with as many warps as have some chunks each to join."""
        warps = min(32, -(-self.shape.chunks // 8))
        self._launch(f"carry_{which}", (recurrences * self.shape.batch * 4 * self.shape.groups, 1), warps * LANES, 0, 1)

    def _launch(
        self,
        kernel: str,
        blocks: tuple[int, int],
        threads: int,
        shared: int,
        cluster: int,
        parameters: ctypes.Structure | None = None,
    ) -> None:
        device = self.x.device
        with torch.cuda.device(device):
            driver.attach(device.index)
            module(device.index, self._variant).launch(
                kernel,
                parameters or self.parameters,
                blocks=blocks,
                threads=threads,
                shared_bytes=shared,
                stream=torch.cuda.current_stream(device).cuda_stream,
                cluster=cluster,
            )

    def grad_factors(self, grad_dt: Tensor, grad_bc: Tensor) -> Tensor:
        """Gradients of the factors from those of dt (4, b h w, R) and what the blocks say of B's and C's."""
        shape = self.shape
        joined = grad_dt.new_empty(shape.batch, shape.height, shape.width, 4, self.rank + 2)
        if self.usual:
            positions, parts = grad_dt.shape[1], grad_bc.shape[0]
            given = FactorParts(*(t.data_ptr() for t in (grad_bc, grad_dt, joined)), positions, parts, self.rank)
            blocks = (-(-positions // JOINED), 1)
            self._launch(f"join_factor_parts_{SUFFIXES[self.x.dtype]}", blocks, USUAL_THREADS, 0, 1, given)
        else:
            joined[..., : self.rank] = grad_dt.view(4, *joined.shape[:3], -1).permute(1, 2, 3, 0, 4)
            joined[..., self.rank :] = grad_bc.sum(0)
        return joined.permute(0, 3, 4, 1, 2)

    def sum_blocks(self, sums: Tensor) -> Tensor:
        """Sums over the first axis, in fixed order."""
        total = sums.new_empty(sums.shape[1:])
        given = Rows(sums.data_ptr(), total.data_ptr(), sums.shape[0], total.numel())
        self._launch("sum_rows", (-(-total.numel() // LANES), 1), USUAL_THREADS, 0, 1, given)
        return total

    def summaries(self) -> Tensor:
        """A number per chunk, channel and direction."""
        shape = self.shape
        return self.x.new_empty(shape.batch, 4, shape.chunks, shape.channels, dtype=torch.float32)


def forward(x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor) -> Tensor:
    """`geofcs_kernels.forward` on a GPU."""
    scan = _Scan(x, factors, dt_weight, dt_bias, a_log, skip)
    y = _channels_last(x)
    if y.numel() == 0:
        return y
    scan.parameters.y, scan.parameters.y_strides = y.data_ptr(), _strides(y)
    tiles = scan.shape.tiles
    if tiles == 1:
        scan.launch(layout.FORWARD_WHOLE, x=x, result=y)
        return y
    if scan.fits_cluster():
        scan.launch(layout.FORWARD_CLUSTER, cluster=tiles, x=x, result=y)
        return y
    gain, state = scan.summaries(), scan.summaries()
    scan.parameters.gain, scan.parameters.state = gain.data_ptr(), state.data_ptr()
    scan.launch(layout.FORWARD_SUMMARY, x=x)
    scan.carry("forward", 1)
    scan.launch(layout.FORWARD_APPLY, x=x, result=y)
    return y


def backward(
    grad: Tensor, x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> tuple[Tensor, ...]:
    """`geofcs_kernels.backward` on a GPU."""
    grad = grad.to(x.dtype)
    scan = _Scan(x, factors, dt_weight, dt_bias, a_log, skip, try_usual=_usual_map(grad))
    shape = scan.shape
    grad_x = _channels_last(x)
    if grad_x.numel() == 0:
        return tuple(torch.zeros_like(t) for t in (x, factors, dt_weight, dt_bias, a_log, skip))
    grad_z = x.new_empty(4, shape.batch, shape.height, shape.width, shape.channels)
    images = (shape.batch, shape.height, shape.width)
    parts = (2 * shape.groups, 4, *images, 2) if scan.usual else (shape.groups, *images, 4, 2)
    grad_bc = x.new_empty(parts, dtype=torch.float32)
    blocks = shape.batch * shape.tiles * (4 if scan.usual else 1)
    sums = x.new_empty(blocks, CHANNEL_SUMS, shape.channels, dtype=torch.float32)
    summaries = {name: scan.summaries() for name in ("gain", "state", "adjoint")}
    parameters = scan.parameters
    parameters.grad_y, parameters.grad_y_strides = grad.data_ptr(), _strides(grad)
    parameters.grad_y_bytes = _channel_bytes(grad)
    parameters.grad_x, parameters.grad_x_strides = grad_x.data_ptr(), _strides(grad_x)
    parameters.grad_z, parameters.grad_bc, parameters.channel_sums = (t.data_ptr() for t in (grad_z, grad_bc, sums))
    parameters.gain, parameters.state, parameters.adjoint = (t.data_ptr() for t in summaries.values())
    scan.launch(layout.BACKWARD_SUMMARY, x=x, grad_y=grad)
    scan.carry("both", 2)
    scan.launch(layout.BACKWARD_APPLY, x=x, grad_y=grad, result=grad_x)
    return _assemble(scan, grad_x, grad_z, grad_bc, sums, (x, factors, dt_weight, dt_bias, a_log, skip))


def _assemble(
    scan: _Scan, grad_x: Tensor, grad_z: Tensor, grad_bc: Tensor, sums: Tensor, given: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """The six gradients from what the kernel left: two matrix products and sums over blocks."""
    shape, dtype = scan.shape, scan.x.dtype
    flat = grad_z.view(4, -1, shape.channels)
    positions = flat.shape[1]
    grad_dt = torch.bmm(flat, given[2].to(dtype))
    grad_factors = scan.grad_factors(grad_dt, grad_bc)
    dt = scan.factors[:, :, : shape.rank].permute(1, 0, 3, 4, 2).reshape(4, positions, shape.rank)
    parts = _parts(positions)
    products = torch.bmm(flat.reshape(4 * parts, -1, shape.channels).mT, dt.reshape(4 * parts, -1, shape.rank))
    grad_weight = products.view(4, parts, shape.channels, shape.rank).sum(1, dtype=torch.float32)
    totals = scan.sum_blocks(sums)
    gradients = (grad_x, grad_factors, grad_weight, totals[:4], totals[4:8], totals[8:].repeat(4, 1))
    return tuple(g.to(t.dtype) for g, t in zip(gradients, given, strict=True))


def _parts(positions: int) -> int:
    """Into how many equal parts the sum over positions is cut: one product alone would leave most of a GPU idle."""
    parts = 1
    while positions % 2 == 0 and positions > 2048:
        parts, positions = 2 * parts, positions // 2
    return parts


def _channels_last(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    return x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


def _strides(t: Tensor) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * t.dim())(*t.stride())


def _factor_bytes(factors: Tensor) -> int:
    """How many bytes of a position's factors may be copied at once: 16, 4, or 0, number by number.

    Copies of 16 bytes read a few numbers past R + 2, which must exist; so they want R + 8 per direction, padded.
    """
    if factors.stride(2) != 1 or factors.element_size() != 2:
        return 0
    rank = factors.shape[2] - 2
    steps = [rank, factors.data_ptr() // 2, *(factors.stride(i) for i in (0, 1, 3, 4))]
    if all(s % 8 == 0 for s in steps) and _numbers_behind(factors) >= 6:
        return 16
    return 4 if all(s % 2 == 0 for s in steps) else 0


def _map(image: Tensor) -> ctypes.Array[ctypes.c_ubyte]:
    """A map (b, D, h, w), channels last, whose boxes are the tiles of 32 channels."""
    batch, channels, height, width = image.shape
    strides = tuple(image.stride(i) for i in (3, 2, 0))
    return tensor_map(image.data_ptr(), (channels, width, height, batch), strides, (LANES, SIDE, SIDE, 1))


def _usual_map(image: Tensor) -> bool:
    """Whether bulk copies can read a map."""
    return _channel_bytes(image) == 16 and all(0 < s < 2**36 for s in image.stride())


@functools.cache
def _capability(device: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _numbers_behind(t: Tensor) -> int:
    """How many numbers a tensor's memory holds behind its last one."""
    last = int(t.storage_offset()) + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True))
    return t.untyped_storage().nbytes() // t.element_size() - 1 - last


def _channel_bytes(image: Tensor) -> int:
    """16 if a position's channels may be copied 16 bytes at once, else 0."""
    steps = [image.shape[1], image.data_ptr() // 2, *(image.stride(i) for i in (0, 2, 3))]
    return 16 if image.stride(1) == 1 and image.element_size() == 2 and all(s % 8 == 0 for s in steps) else 0
