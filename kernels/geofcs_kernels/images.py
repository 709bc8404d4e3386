"""Machine code for a GPU: the fat binary that nvcc made at install time, else NVRTC now, kept on disk."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from geofcs_kernels import nvrtc

SOURCES = Path(__file__).parent / "csrc" / "cuda"
BUILT = Path(__file__).parent / "lib" / "kernels.fatbin"
LOWEST = (8, 0)
"""The first compute capability with bfloat16 products and asynchronous copies."""
VARIANTS = ("float32", "bfloat16", "float16", "bfloat16_fast", "float16_fast")
"""Groups of kernels, in the order of `GEOFCS_ONLY` in kernels.cu."""


def unit_of(variant: str) -> str:
    """What holds a variant: the fat binary, "all", or a compilation of its own."""
    return "all" if BUILT.exists() else variant


def image_for(capability: tuple[int, int], unit: str) -> bytes:
    """The kernels of a unit for one compute capability, as the driver loads them."""
    if unit == "all":
        return BUILT.read_bytes()
    arguments = ["--std=c++17", f"-DGEOFCS_ONLY={VARIANTS.index(unit)}", f"-I{SOURCES}", nvrtc.target(capability)]
    kept = cache_directory() / f"{_fingerprint(arguments)}.cubin"
    if kept.exists():
        return kept.read_bytes()
    image = nvrtc.compile_source((SOURCES / "kernels.cu").read_text(encoding="utf-8"), arguments)
    _keep(kept, image)
    return image


def cache_directory() -> Path:
    """Where compiled kernels are kept: `GEOFCS_KERNELS_CACHE`, else a folder of the user's cache."""
    if chosen := os.environ.get("GEOFCS_KERNELS_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "geofcs-kernels"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geofcs-kernels"


def _fingerprint(arguments: list[str]) -> str:
    """What the machine code follows from: every source, the options, the compiler's version."""
    digest = hashlib.sha256(repr((arguments, nvrtc.version())).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:32]


def _keep(path: Path, image: bytes) -> None:
    """Write by rename, so that another process never reads half a file. A read-only disk costs seconds, no more."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(image)
        Path(file.name).replace(path)
    except OSError:
        return
