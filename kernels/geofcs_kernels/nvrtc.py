"""CUDA's run-time compiler through ctypes: the library that pip's torch brings along, no toolkit needed."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

PATTERNS = ("libnvrtc.so.*", "nvrtc64_*_0.dll")
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
    for candidate in candidates():
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    return None


def candidates() -> Iterator[str]:
    """Where the library may be: pip's CUDA packages, torch (on Windows), a toolkit, the system's paths.

    Of several, that of torch's own CUDA comes first: the driver is one that suits it, and may be too old for another.
    """
    found = [
        path for root in _roots() for pattern in PATTERNS for path in root.rglob(pattern) if "alt" not in path.name
    ]
    yield from map(str, sorted(found, key=lambda path: (_major(path) == _torch_major(), _major(path)), reverse=True))
    if name := ctypes.util.find_library("nvrtc"):
        yield name


def _roots() -> Iterator[Path]:
    """pip's packages (CUDA 13: nvidia/cu13, CUDA 12: nvidia/cuda_nvrtc), torch itself, the toolkit that is named."""
    namespace = importlib.util.find_spec("nvidia")
    if namespace is not None:
        yield from map(Path, namespace.submodule_search_locations or [])
    yield Path(torch.__file__).parent / "lib"
    if toolkit := os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        yield Path(toolkit)


def _major(path: Path) -> int:
    """CUDA's major version, from libnvrtc.so.13 or nvrtc64_130_0.dll."""
    number = re.search(r"\.so\.(\d+)|_(\d+)\d_0\.dll", path.name)
    return int(next(filter(None, number.groups()))) if number else 0


def _torch_major() -> int:
    return int((torch.version.cuda or "0").split(".")[0])
