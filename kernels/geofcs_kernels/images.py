"""Machine code for a GPU: the fat binary that nvcc made at install time, else NVRTC now, kept on disk."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from geofcs_kernels import nvrtc

SOURCES = Path(__file__).parent / "csrc" / "cuda"
BUILT = Path(__file__).parent / "lib"
LOWEST = (8, 0)
"""The first compute capability with bfloat16 products and asynchronous copies."""
VARIANTS = {
    "kernels": ("float32", "bfloat16", "float16", "bfloat16_fast", "float16_fast"),
    "pointwise": ("pointwise_float32", "pointwise_bfloat16", "pointwise_float16", "pointwise_any"),
    "gradients": ("gradients_float32", "gradients_bfloat16", "gradients_float16"),
}
"""Groups of kernels by the source that they are in, in the order of `GEOFCS_ONLY` there."""
DTYPES = {"float32", "bfloat16", "float16"}

_pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="nvrtc")
_compilations: dict[Path, Future[bytes]] = {}
_starting = threading.Lock()


def are_built() -> bool:
    """Whether nvcc made a fat binary of each source when the package was installed."""
    return all((BUILT / f"{source}.fatbin").exists() for source in VARIANTS)


def unit_of(variant: str) -> str:
    """What holds a variant: its source's fat binary, or a compilation of its own."""
    source = _source_of(variant)
    return source if (BUILT / f"{source}.fatbin").exists() else variant


def image_for(capability: tuple[int, int], unit: str) -> bytes:
    """The kernels of a unit for one compute capability, as the driver loads them.

    A compilation takes its relatives along, which a model needs next: all at once, each on a core of its own.
    """
    if unit in VARIANTS:
        return (BUILT / f"{unit}.fatbin").read_bytes()
    if (kept := _kept_at(capability, unit)).exists():
        return kept.read_bytes()
    with _starting:
        compilations = {relative: _compilation(capability, relative) for relative in relatives(unit)}
    return compilations[unit].result()


def relatives(unit: str) -> list[str]:
    """The units that a model which needs this one needs as well: those of its dtype for the same purpose, or of any."""
    if unit.startswith("gradients") or unit.endswith("any"):
        return [unit]
    (dtype,) = DTYPES.intersection(unit.split("_"))
    units = [other for source in ("kernels", "pointwise") for other in VARIANTS[source]]
    return [other for other in units if {dtype, "any"}.intersection(other.split("_"))]


def compiled(capability: tuple[int, int], unit: str) -> bytes:
    """A unit's kernels from NVRTC, or those that it made before."""
    kept = _kept_at(capability, unit)
    if kept.exists():
        return kept.read_bytes()
    source = (SOURCES / f"{_source_of(unit)}.cu").read_text(encoding="utf-8")
    image = nvrtc.compile_source(source, _arguments(capability, unit))
    _keep(kept, image)
    return image


def _compilation(capability: tuple[int, int], unit: str) -> Future[bytes]:
    """The one that runs or ran already, unless it failed; a disk that keeps nothing costs one compilation a process."""
    kept = _kept_at(capability, unit)
    before = _compilations.get(kept)
    if before is None or (before.done() and before.exception()):
        _compilations[kept] = _pool.submit(compiled, capability, unit)
    return _compilations[kept]


def _arguments(capability: tuple[int, int], unit: str) -> list[str]:
    number = VARIANTS[_source_of(unit)].index(unit)
    return ["--std=c++17", f"-DGEOFCS_ONLY={number}", f"-I{SOURCES}", nvrtc.target(capability)]


def _kept_at(capability: tuple[int, int], unit: str) -> Path:
    return cache_directory() / f"{_fingerprint(_source_of(unit), _arguments(capability, unit))}.cubin"


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
