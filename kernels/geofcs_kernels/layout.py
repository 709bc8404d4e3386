"""What a launch of the four-direction kernels needs to know, laid out as `csrc/cuda/tile.cuh` reads it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

SIDE = 16
"""Positions of a chunk, and chunks of a tile along either axis."""
LANES = 32
"""Channels of a block."""
THREADS = SIDE * LANES
USUAL_THREADS = 256
"""Of a block in the usual case, `usual.cuh`."""
RECORD_REST = 12
"""Words of a record of parameters behind its weights, `usual.cuh`."""
JOINED = USUAL_THREADS // 4
"""Positions of a block that joins gradients of factors, `usual_finish.cuh`."""
CHANNEL_SUMS = 9
"""Sums over positions per channel: gradients of dt_bias in four directions, of a_log in four, of skip."""
SUFFIXES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


class ScanParams(ctypes.Structure):
    """`geofcs::ScanParams`, field by field."""

    _fields_ = (
        [
            (name, ctypes.c_void_p)
            for name in (
                *("x", "factors", "dt_weight", "dt_bias", "a_log", "skip", "y", "grad_y", "grad_x", "grad_z"),
                *("grad_bc", "channel_sums", "gain", "state", "adjoint"),
            )
        ]
        + [(name, ctypes.c_int64 * 4) for name in ("x_strides", "y_strides", "grad_y_strides", "grad_x_strides")]
        + [(name, ctypes.c_int64 * 5) for name in ("factor_strides",)]
        + [
            (name, ctypes.c_int)
            for name in (
                *("batch", "channels", "height", "width", "rank", "tile_rows", "tile_cols", "chunks"),
                *(
                    "rank_padded",
                    "weight_slots",
                    "zero_fill",
                    "factor_bytes",
                    "weight_bytes",
                    "x_bytes",
                    "grad_y_bytes",
                ),
            )
        ]
    )


TensorMap = ctypes.c_ubyte * 128


class UsualParams(ctypes.Structure):
    """`geofcs::usual::UsualParams`, field by field."""

    _fields_ = (
        *((name, TensorMap) for name in ("x", "grad_y", "result")),
        *((name, TensorMap * 2) for name in ("dt", "bc")),
        *((name, ctypes.c_void_p) for name in ("records", "gain", "state", "adjoint")),
        *((name, ctypes.c_void_p) for name in ("grad_z", "grad_bc", "channel_sums")),
        *((name, ctypes.c_int) for name in ("batch", "channels", "height", "width", "rank")),
        *((name, ctypes.c_int) for name in ("tile_rows", "tile_cols", "chunks")),
        ("padding", ctypes.c_char * 40),  # to a multiple of 64
    )


class FactorParts(ctypes.Structure):
    """`geofcs::usual::FactorParts`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("grad_bc", "grad_dt", "grad_factors")),
        ("positions", ctypes.c_int64),
        *((name, ctypes.c_int) for name in ("parts", "rank")),
    )


class Rows(ctypes.Structure):
    """`geofcs::usual::Rows`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("source", "target")),
        ("rows", ctypes.c_int),
        ("columns", ctypes.c_int),
    )


class Parameters(ctypes.Structure):
    """`geofcs::usual::Parameters`."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("dt_weight", "dt_bias", "a_log", "skip", "records")) + tuple(
        (name, ctypes.c_int) for name in ("pairs", "rank")
    )


@dataclass(frozen=True)
class Shape:
    """Sizes of a four-direction scan and what follows from them."""

    batch: int
    channels: int
    height: int
    width: int
    rank: int

    @property
    def tile_rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // SIDE)

    @property
    def tile_cols(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // SIDE)

    @property
    def tiles(self) -> int:
        """Tiles of one map."""
        return self.tile_rows * self.tile_cols

    @property
    def chunks(self) -> int:
        """Chunks of a sequence, along the axis that has more."""
        return max(self.height * self.tile_cols, self.width * self.tile_rows)

    @property
    def groups(self) -> int:
        """Blocks that share a tile, each with up to 32 channels."""
        return -(-self.channels // LANES)

    @property
    def grid(self) -> tuple[int, int]:
        """Blocks of a launch: tiles and groups of channels, batch elements."""
        return self.tiles * self.groups, self.batch

    @property
    def rank_padded(self) -> int:
        """Ranks whose weights are staged together: 16, 32 or 64; larger R take several rounds."""
        return next((size for size in (16, 32) if self.rank <= size), 64)


def shape_of(x: Tensor, dt_weight: Tensor) -> Shape:
    """The sizes that x (b, D, H, W) and dt_weight (4, D, R) state."""
    batch, channels, height, width = x.shape
    return Shape(batch, channels, height, width, dt_weight.shape[-1])


@dataclass(frozen=True)
class Kernel:
    """What a kernel keeps in shared memory: `tile.cuh`'s `Shared`."""

    name: str
    staged_maps: int
    exchange: bool
    joins: bool = False
    usual_maps: int = 1
    scratch: bool = False

    def shared_bytes(self, shape: Shape, dtype: torch.dtype, weight_slots: int) -> int:
        """Shared memory of a block; 16-bit types stage maps there."""
        half = dtype != torch.float32
        logits, factors, parameters = THREADS * SIDE * 4, SIDE * SIDE * 8, 2 * 4 * LANES * 4
        maps = self.staged_maps * SIDE * THREADS * 2 if half else 0
        exchange = SIDE * THREADS * 4 if self.exchange else 0
        weights = weight_slots * LANES * (shape.rank_padded + (8 if half else 1)) * dtype.itemsize
        joining = 2 * THREADS * 8 + LANES * 8 if self.joins else 0
        return logits + factors + parameters + maps + exchange + weights + joining

    def usual_bytes(self, shape: Shape) -> int:
        """The same in the usual case: `usual.cuh`, where each part says what it is."""
        barriers_and_bc, maps = 4736, self.usual_maps * USUAL_THREADS * LANES * 2
        exchange = USUAL_THREADS * LANES * 4 if self.exchange else 0
        most = max(shape.tile_rows, shape.tile_cols)
        links = 2 * USUAL_THREADS if shape.tiles == 1 else 2 * ((most + 1) * USUAL_THREADS + most * LANES // 2)
        factors = USUAL_THREADS * (2 * shape.rank + 16) + LANES // 2 * 4 * (shape.rank + RECORD_REST)
        scratch = USUAL_THREADS * 80 if self.scratch else 0
        return barriers_and_bc + maps + exchange + scratch + (links * 16 if self.joins else 0) + factors


FORWARD_WHOLE = Kernel("forward_whole", 1, exchange=True, joins=True)
FORWARD_CLUSTER = Kernel("forward_cluster", 1, exchange=True, joins=True)
FORWARD_SUMMARY = Kernel("forward_summary", 1, exchange=False)
FORWARD_APPLY = Kernel("forward_apply", 1, exchange=True)
BACKWARD_SUMMARY = Kernel("backward_summary", 2, exchange=False, usual_maps=2)
BACKWARD_APPLY = Kernel("backward_apply", 0, exchange=True, usual_maps=2, scratch=True)
