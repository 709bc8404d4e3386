"""CUDA's run-time compiler through ctypes: the library that pip's torch brings along, no toolkit needed."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MISSING = (
    "no CUDA compiler: neither nvcc when geofcs-kernels was installed nor NVRTC now; "
    "`pip install nvidia-cuda-nvrtc` (CUDA 12: nvidia-cuda-nvrtc-cu12) adds the latter"
)


class CompileError(RuntimeError):
    """NVRTC is missing or did not accept the source."""


def available() -> bool:
    """Whether the library is there."""
    return _load() is not None


@functools.cache
def version() -> tuple[int, int]:
    """The library's CUDA version."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def target(capability: tuple[int, int]) -> str:
    """The option that makes code for a GPU: its own machine code, or PTX from a library older than the GPU."""
    number = capability[0] * 10 + capability[1]
    supported = _supported()
    if number in supported:
        return f"--gpu-architecture=sm_{number}"
    return f"--gpu-architecture=compute_{max(n for n in supported if n < number)}"


def compile_source(source: str, options: list[str]) -> bytes:
    """Machine code (or PTX, after a `compute_` target) of a CUDA C++ source."""
    program = ctypes.c_void_p()
    _call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    try:
        encoded = [option.encode() for option in options]
        status = _library().nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
        if status != 0:
            raise CompileError(f"NVRTC {version()} refused the kernels:\n{_read(program, 'ProgramLog').decode()}")
        return _read(program, "CUBIN" if "=sm_" in options[-1] else "PTX")
    finally:
        _library().nvrtcDestroyProgram(ctypes.byref(program))


def _read(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(f"nvrtcGet{what}", program, buffer)
    return buffer.raw


@functools.cache
def _supported() -> list[int]:
    count = ctypes.c_int()
    _call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    _call("nvrtcGetSupportedArchs", numbers)
    return list(numbers)


def _call(name: str, *arguments: Any) -> None:
    library = _library()
    status = getattr(library, name)(*arguments)
    if status != 0:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise CompileError(f"{name}: {library.nvrtcGetErrorString(status).decode()}")


def _library() -> ctypes.CDLL:
    library = _load()
    if library is None:
        raise CompileError(MISSING)
    return library


@functools.cache
def _load() -> ctypes.CDLL | None:
    for candidate in _candidates():
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    return None


def _candidates() -> Iterator[str]:
    """pip's CUDA packages (CUDA 13: nvidia/cu13, CUDA 12: nvidia/cuda_nvrtc), a toolkit, the system's paths."""
    roots = [Path(sysconfig.get_paths()[name]) / "nvidia" for name in ("purelib", "platlib")]
    if toolkit := os.environ.get("CUDA_PATH") or os.environ.get("CUDA_HOME"):
        roots.append(Path(toolkit))
    for root in roots:
        for pattern in ("libnvrtc.so.*", "nvrtc64_*_0.dll"):
            found = [p for p in root.rglob(pattern) if "alt" not in p.name]
            yield from (str(p) for p in sorted(found, reverse=True))
    if name := ctypes.util.find_library("nvrtc"):
        yield name
