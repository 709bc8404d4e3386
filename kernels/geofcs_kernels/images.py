"""Machine code for a GPU: the fat binary that nvcc made at install time, else NVRTC now, kept on disk."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from geofcs_kernels import nvrtc

SOURCES = Path(__file__).parent / "csrc" / "cuda"
BUILT = Path(__file__).parent / "lib"
LOWEST = (8, 0)
"""The first compute capability with bfloat16 products and asynchronous copies."""
VARIANTS = {
    "kernels": ("float32", "bfloat16", "float16", "bfloat16_fast", "float16_fast"),
    "pointwise": ("pointwise_float32", "pointwise_bfloat16", "pointwise_float16"),
}
"""Groups of kernels by the source that they are in, in the order of `GEOFCS_ONLY` there."""


def are_built() -> bool:
    """Whether nvcc made a fat binary of each source when the package was installed."""
    return all((BUILT / f"{source}.fatbin").exists() for source in VARIANTS)


def unit_of(variant: str) -> str:
    """What holds a variant: its source's fat binary, or a compilation of its own."""
    source = _source_of(variant)
    return source if (BUILT / f"{source}.fatbin").exists() else variant


def image_for(capability: tuple[int, int], unit: str) -> bytes:
    """The kernels of a unit for one compute capability, as the driver loads them."""
    if unit in VARIANTS:
        return (BUILT / f"{unit}.fatbin").read_bytes()
    source = _source_of(unit)
    number = VARIANTS[source].index(unit)
    arguments = ["--std=c++17", f"-DGEOFCS_ONLY={number}", f"-I{SOURCES}", nvrtc.target(capability)]
    kept = cache_directory() / f"{_fingerprint(source, arguments)}.cubin"
    if kept.exists():
        return kept.read_bytes()
    image = nvrtc.compile_source((SOURCES / f"{source}.cu").read_text(encoding="utf-8"), arguments)
    _keep(kept, image)
    return image


def _source_of(variant: str) -> str:
    return next(source for source, variants in VARIANTS.items() if variant in variants)


def cache_directory() -> Path:
    """Where compiled kernels are kept: `GEOFCS_KERNELS_CACHE`, else a folder of the user's cache."""
    if chosen := os.environ.get("GEOFCS_KERNELS_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "geofcs-kernels"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geofcs-kernels"


def _fingerprint(unit: str, arguments: list[str]) -> str:
    """What the machine code follows from: every source, the options, the compiler's version."""
    digest = hashlib.sha256(repr((unit, arguments, nvrtc.version())).encode())
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
