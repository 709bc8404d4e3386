"""Builds what the machine can: the CPU library with a C++ compiler, the CUDA kernels with nvcc. Neither needs torch.

Hatchling calls `KernelsBuildHook` while it makes a wheel; `python hatch_build.py` builds in place, for development. What
cannot be built is left out and said: geofcs then compiles CUDA code at first use or runs in plain torch.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand
    BuildHookInterface = object  # type: ignore[assignment, misc]

PACKAGE = Path(__file__).parent / "geofcs_kernels"
LIBRARIES = PACKAGE / "lib"
# Compute capabilities that get machine code of their own where this nvcc knows them (12.8 and later know all); PTX of the
# last known one is added, for later GPUs, which the driver compiles.
ARCHITECTURES = (80, 86, 89, 90, 100, 120)
# Instruction sets of x86-64, the narrowest first: inline functions of the standard library exist in every object, the
# linker keeps the first, and that one must run anywhere.
X86 = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [*["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]],
}


def build(warn: Callable[[str], None]) -> list[Path]:
    """Build both libraries into the package; returns those that could be built, warns about the others."""
    LIBRARIES.mkdir(exist_ok=True)
    built = []
    for make in (build_cpu, build_cuda):
        try:
            built.append(make())
        except FileNotFoundError as missing:
            warn(str(missing))
        except subprocess.CalledProcessError as failed:
            warn(f"{' '.join(failed.cmd)}\n{failed.stderr}")
    return built


def build_cpu() -> Path:
    """`lib/libgeofcs_cpu.so`, one object per instruction set in it."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    if compiler is None:
        raise FileNotFoundError("no C++ compiler (g++ or clang++): the scan will run in plain torch on CPUs")
    source = PACKAGE / "csrc" / "cpu"
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    flags = [*compiler.split(), "-O3", "-std=c++17", "-fPIC", "-ffp-contract=fast", "-Wno-psabi", "-pthread"]
    flags += ["-DGEOFCS_X86"] if x86 else []
    target = LIBRARIES / ("geofcs_cpu.dll" if sys.platform == "win32" else "libgeofcs_cpu.so")
    with tempfile.TemporaryDirectory() as objects:
        made = []
        for name, options in X86.items() if x86 else [("baseline", [])]:
            made.append(f"{objects}/{name}.o")
            _run(*flags, *options, f"-DGEOFCS_ISA={name}", "-c", source / "four_directions.cpp", "-o", made[-1])
        for name in ("selective", "dispatch"):
            made.append(f"{objects}/{name}.o")
            _run(*flags, "-c", source / f"{name}.cpp", "-o", made[-1])
        _run(*flags, "-shared", *made, "-o", target)
    return target


def build_cuda() -> Path:
    """`lib/kernels.fatbin`, for all architectures that nvcc knows of those listed."""
    toolkits = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ] + ["/usr/local/cuda"]
    nvcc = shutil.which("nvcc") or next((p for t in toolkits if (p := shutil.which("nvcc", path=f"{t}/bin"))), None)
    if nvcc is None:
        raise FileNotFoundError("no nvcc: the CUDA kernels will be compiled at first use (NVRTC, which torch brings)")
    known = {int(n) for n in re.findall(r"compute_(\d+)\b", _run(nvcc, "--list-gpu-arch"))}
    chosen = [n for n in ARCHITECTURES if n in known]
    targets = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in chosen]
    targets.append(f"-gencode=arch=compute_{chosen[-1]},code=compute_{chosen[-1]}")
    target = LIBRARIES / "kernels.fatbin"
    _run(nvcc, "-std=c++17", "-fatbin", "--threads=0", *targets, "-o", target, PACKAGE / "csrc" / "cuda" / "kernels.cu")
    return target


def _run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


class KernelsBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls; `pyproject.toml` names this file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tag the wheel for this platform if it holds machine code."""
        if self.target_name != "wheel" or version == "editable":
            return
        built = build(self.app.display_warning)
        build_data["artifacts"] += [str(path.relative_to(Path(__file__).parent)) for path in built]
        if built:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"


if __name__ == "__main__":
    for path in build(lambda text: print(text, file=sys.stderr)):  # noqa: T201, a script
        print(path)  # noqa: T201
