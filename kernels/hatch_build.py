"""Builds what the machine can: the CPU library with a C++ compiler, the CUDA kernels with nvcc. Neither needs torch.

Hatchling calls `KernelsBuildHook` while it makes a wheel; `python hatch_build.py` builds in place, for development.
What cannot be built is left out and said: geofcs then compiles CUDA code at first use or runs in plain torch.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand
    BuildHookInterface = object

PACKAGE = Path(__file__).parent / "geofcs_kernels"
LIBRARIES = PACKAGE / "lib"
CPU_SOURCES, CUDA_SOURCES = PACKAGE / "csrc" / "cpu", PACKAGE / "csrc" / "cuda"
ARCHITECTURES = (80, 90, 100, 120)
"""Compute capabilities that get machine code, where this nvcc knows them (12.8 and later know all).

Code for 8.0 runs on 8.6 and 8.9 as well, that for 10.0 on 10.3, that for 12.0 on 12.1. For 11.0 and for what comes
later the driver makes code of PTX, which the last two bring along.
"""
X86 = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [*["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]],
}
"""Instruction sets of x86-64, the narrowest first: inline functions of the standard library exist in every object, the
linker keeps the first, and that one must run anywhere."""
COMPILED_PER_INSTRUCTION_SET = ("four_directions", "pointwise")
COMPILED_ONCE = ("selective", "dispatch")


def build(folder: Path, warn: Callable[[str], None], *, keep: bool = False) -> list[Path]:
    """Build all libraries into `folder`; returns those that are there now, warns about the others.

    With `keep`, what is newer than its sources is left as it is.
    """
    built, reasons = [], dict[str, None]()
    for name, (sources, make) in LIBRARY_FILES.items():
        target = folder / name
        try:
            if not (keep and _is_newer(target, sources)):
                _replace(target, make)
            built.append(target)
        except FileNotFoundError as missing:
            reasons[str(missing)] = None
        except subprocess.CalledProcessError as failed:
            reasons[f"{' '.join(failed.cmd)}\n{failed.stderr}"] = None
    for reason in reasons:
        warn(reason)
    return built


def build_cpu(target: Path) -> None:
    """The CPU library, one object per instruction set in it."""
    found = (shutil.which(name) for name in ("g++", "clang++", "c++"))
    compiler = os.environ.get("CXX") or next(filter(None, found), None)
    if compiler is None:
        raise FileNotFoundError("no C++ compiler (g++ or clang++): the scan will run in plain torch on CPUs")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    flags = [*compiler.split(), "-O3", "-std=c++17", "-fPIC", "-ffp-contract=fast", "-Wno-psabi", "-pthread"]
    flags += ["-DGEOFCS_X86"] if x86 else []
    objects = [
        (source, [*options, f"-DGEOFCS_ISA={name}"])
        for name, options in (X86 if x86 else {"baseline": []}).items()
        for source in COMPILED_PER_INSTRUCTION_SET
    ]
    objects += [(source, []) for source in COMPILED_ONCE]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = [
            [*flags, *options, "-c", str(CPU_SOURCES / f"{source}.cpp"), "-o", f"{folder}/{number}.o"]
            for number, (source, options) in enumerate(objects)
        ]
        list(pool.map(lambda command: _run(*command), commands))
        _run(*flags, "-shared", *(command[-1] for command in commands), "-o", target)


def build_cuda(target: Path) -> None:
    """The fat binary of the source of that name, for all architectures that nvcc knows of those listed."""
    nvcc = find_nvcc()
    if nvcc is None:
        raise FileNotFoundError("no nvcc: the CUDA kernels will be compiled at first use (NVRTC, which torch brings)")
    known = {int(n) for n in re.findall(r"compute_(\d+)\b", _run(nvcc, "--list-gpu-arch"))}
    chosen = [n for n in ARCHITECTURES if n in known]
    codes = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in chosen]
    codes += [f"-gencode=arch=compute_{n},code=compute_{n}" for n in chosen[-2:]]
    _run(nvcc, "-std=c++17", "-fatbin", "--threads=0", *codes, "-o", target, CUDA_SOURCES / f"{target.stem}.cu")


def find_nvcc() -> str | None:
    """The compiler of `CUDA_HOME` or `CUDA_PATH` if one is set, else of PATH or the usual folder."""
    toolkit = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if toolkit:
        return shutil.which("nvcc", path=f"{toolkit}/bin")
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


LIBRARY_FILES = {
    "geofcs_cpu.dll" if sys.platform == "win32" else "libgeofcs_cpu.so": (CPU_SOURCES, build_cpu),
    "kernels.fatbin": (CUDA_SOURCES, build_cuda),
    "pointwise.fatbin": (CUDA_SOURCES, build_cuda),
    "gradients.fatbin": (CUDA_SOURCES, build_cuda),
}


def _is_newer(target: Path, sources: Path) -> bool:
    times = (source.stat().st_mtime for source in (*sources.iterdir(), Path(__file__)))
    return target.exists() and target.stat().st_mtime > max(times)


def _replace(target: Path, make: Callable[[Path], None]) -> None:
    """Build beside and rename: programs that run keep the library that they have."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        new = Path(folder) / target.name
        make(new)
        new.replace(target)


def _run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


class KernelsBuildHook(BuildHookInterface):
    """What hatchling calls; `pyproject.toml` names this file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tag the wheel for this platform if it holds machine code. An editable install builds in place."""
        if self.target_name != "wheel":
            return
        if version == "editable":
            build(LIBRARIES, self.app.display_warning, keep=True)
            return
        self._folder = tempfile.TemporaryDirectory()
        built = build(Path(self._folder.name), self.app.display_warning)
        if built:
            build_data["force_include"] |= {str(path): f"geofcs_kernels/lib/{path.name}" for path in built}
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Clean up behind the wheel."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


if __name__ == "__main__":
    for path in build(LIBRARIES, lambda text: print(text, file=sys.stderr)):
        print(path)
