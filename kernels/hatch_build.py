"""Builds what the machine can: the CPU library with a C++ compiler, the CUDA kernels with nvcc. Neither needs torch.

Hatchling calls `KernelsBuildHook` while it makes a wheel; `python hatch_build.py` builds in place, for development.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand
    BuildHookInterface = object

PACKAGE = Path(__file__).parent / "geofcs_kernels"
LIBRARIES = PACKAGE / "lib"
# Compute capabilities with machine code of their own, if this nvcc knows them; the last known one is added as PTX, which
# the driver compiles for later GPUs.
ARCHITECTURES = (80, 86, 89, 90, 100, 120)


def build_cuda() -> Path | None:
    """`kernels.fatbin`, or None where there is no nvcc (the kernels are then compiled at first use)."""
    nvcc = shutil.which("nvcc", path=os.environ.get("CUDA_HOME", "") + "/bin:" + os.environ["PATH"])
    if nvcc is None:
        return None
    known = {int(n) for n in re.findall(r"compute_(\d+)\b", _output(nvcc, "--list-gpu-arch"))}
    chosen = [n for n in ARCHITECTURES if n in known]
    targets = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in chosen]
    targets.append(f"-gencode=arch=compute_{chosen[-1]},code=compute_{chosen[-1]}")
    target = LIBRARIES / "kernels.fatbin"
    source = PACKAGE / "csrc" / "cuda" / "kernels.cu"
    _run(nvcc, "-std=c++17", "-fatbin", "--threads=0", *targets, "-o", str(target), str(source))
    return target


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _run(*command: str) -> None:
    LIBRARIES.mkdir(exist_ok=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    build_cuda()
