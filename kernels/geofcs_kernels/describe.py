"""What this installation of the kernels consists of, for `geofcs doctor`."""

from __future__ import annotations

from pathlib import Path

from geofcs_kernels import __version__, cpu, images, nvrtc


def describe() -> dict[str, str | int | None]:
    """Version, folder, how the CPU library and the CUDA code come about (None: not at all), what NVRTC left on disk."""
    kept = list(images.cache_directory().glob("*.cubin"))
    return {
        "version": __version__,
        "folder": str(Path(__file__).parent),
        "cpu": f"compiled when installed, runs {cpu.instructions()}" if cpu.library() else None,
        "cuda": _cuda_code(),
        "cache": str(images.cache_directory()),
        "cached_files": len(kept),
        "cached_bytes": sum(path.stat().st_size for path in kept),
    }


def _cuda_code() -> str | None:
    if images.are_built():
        return "compiled by nvcc when installed"
    if nvrtc.available():
        return "compiled at first use by NVRTC {}.{}".format(*nvrtc.version())
    return None
