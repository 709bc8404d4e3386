"""The CUDA driver through ctypes: loads kernels into torch's context and launches them on torch's stream.

Only the driver is needed, which every machine with a GPU has, so one package serves every torch and CUDA version.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from typing import Any

_MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_NON_PORTABLE_CLUSTER = 14  # CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
_SHARED_MEMORY_LIMIT = 97  # CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
_TENSOR_MAP = 128  # bytes of a CUtensorMap
_UINT16, _PROMOTE_128_BYTES = 1, 2  # CU_TENSOR_MAP_DATA_TYPE_UINT16, CU_TENSOR_MAP_L2_PROMOTION_L2_128B
_ATTRIBUTE_CLUSTER = 4  # CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION


class DriverError(RuntimeError):
    """A call of the CUDA driver failed; the message says which and how."""


class _Attribute(ctypes.Structure):
    _fields_ = (("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", ctypes.c_uint * 16))


class _Config(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint) for name in ("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared")),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def _call(name: str, *arguments: Any) -> None:
    library = _library()
    status = getattr(library, name)(*arguments)
    if status != 0:
        text = ctypes.c_char_p()
        library.cuGetErrorString(status, ctypes.byref(text))
        raise DriverError(f"{name}: {(text.value or b'unknown error').decode()} (CUDA error {status})")


_thread = threading.local()


def attach(device: int) -> None:
    """Give this thread a context if it has none: threads of torch's backward pass begin without."""
    if getattr(_thread, "attached", False):
        return
    context = ctypes.c_void_p()
    _call("cuCtxGetCurrent", ctypes.byref(context))
    if not context:
        handle = ctypes.c_int()
        _call("cuDeviceGet", ctypes.byref(handle), device)
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
        _call("cuCtxSetCurrent", context)
    _thread.attached = True


def shared_memory_limit(device: int) -> int:
    """Bytes of shared memory that a block of a GPU may be given."""
    handle, value = ctypes.c_int(), ctypes.c_int()
    _call("cuDeviceGet", ctypes.byref(handle), device)
    _call("cuDeviceGetAttribute", ctypes.byref(value), _SHARED_MEMORY_LIMIT, handle)
    return value.value


@functools.lru_cache(maxsize=1024)
def tensor_map(
    address: int, sizes: tuple[int, ...], strides: tuple[int, ...], box: tuple[int, ...]
) -> ctypes.Array[ctypes.c_ubyte]:
    """How the bulk copies see a tensor of 16-bit numbers: innermost axis first, its stride (one number) left out."""
    room = (ctypes.c_ubyte * (_TENSOR_MAP + 64))()
    aligned = -(-ctypes.addressof(room) // 64) * 64
    rank = len(sizes)
    _call(
        "cuTensorMapEncodeTiled",
        *(ctypes.c_void_p(aligned), _UINT16, ctypes.c_uint(rank), ctypes.c_void_p(address)),
        (ctypes.c_uint64 * rank)(*sizes),
        (ctypes.c_uint64 * (rank - 1))(*(2 * s for s in strides)),
        *((ctypes.c_uint * rank)(*box), (ctypes.c_uint * rank)(*[1] * rank)),
        *(0, 0, _PROMOTE_128_BYTES, 0),  # not interleaved, not swizzled, zeros outside
    )
    return (ctypes.c_ubyte * _TENSOR_MAP)(*(ctypes.string_at(aligned, _TENSOR_MAP)))


class Module:
    """Kernels of one image (cubin, fat binary or PTX), loaded into the current context."""

    def __init__(self, image: bytes) -> None:
        self._handle = ctypes.c_void_p()
        _call("cuModuleLoadData", ctypes.byref(self._handle), image)
        self._functions: dict[str, ctypes.c_void_p] = {}
        self._allowed: dict[str, int] = {}

    def function(self, name: str, shared_bytes: int) -> ctypes.c_void_p:
        """A kernel, allowed that much dynamic shared memory or more."""
        if name not in self._functions:
            self._functions[name] = ctypes.c_void_p()
            _call("cuModuleGetFunction", ctypes.byref(self._functions[name]), self._handle, name.encode())
        function = self._functions[name]
        if shared_bytes > self._allowed.get(name, 48 * 1024):
            _call("cuFuncSetAttribute", function, _MAX_DYNAMIC_SHARED, shared_bytes)
            self._allowed[name] = shared_bytes
        return function

    def launch(
        self,
        name: str,
        parameters: ctypes.Structure,
        *,
        blocks: tuple[int, ...],
        threads: int | tuple[int, int, int],
        shared_bytes: int,
        stream: int,
        cluster: int = 1,
    ) -> None:
        """Launch a kernel that takes one struct by value."""
        function = self.function(name, shared_bytes)
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(parameters))
        grid = (*blocks, 1, 1)[:3]
        block = (threads, 1, 1) if isinstance(threads, int) else threads
        if cluster == 1:
            grid_and_block = (ctypes.c_uint(n) for n in (*grid, *block, shared_bytes))
            _call("cuLaunchKernel", function, *grid_and_block, ctypes.c_void_p(stream), arguments, None)
            return
        if cluster > 8:  # the portable limit
            _call("cuFuncSetAttribute", function, _NON_PORTABLE_CLUSTER, 1)
        attribute = _Attribute(id=_ATTRIBUTE_CLUSTER)
        attribute.value[:3] = [cluster, 1, 1]
        config = _Config(*grid, *block, shared_bytes, stream, ctypes.pointer(attribute), 1)
        _call("cuLaunchKernelEx", ctypes.byref(config), function, arguments, None)
