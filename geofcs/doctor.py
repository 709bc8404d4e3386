"""What this machine offers to geofcs: what runs the scan on each device and why, versions, GPUs, memory, and cures."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from geofcs import __version__

MODULES = {"pyyaml": "yaml", "pillow": "PIL"}
"""Modules that are not called what their distribution is called, but for dashes."""
WITH_GDAL = ("rasterio", "pyogrio")
LOOKED_INTO = ("torch", *WITH_GDAL, "psutil")
"""Packages that the findings say more of than a version."""
RISKY = {
    "GDAL_HTTP_UNSAFESSL": "no server has to prove that it is itself",
    "GDAL_DRIVER_PATH": "GDAL loads programs from there",
    "GDAL_VRT_ENABLE_PYTHON": "virtual rasters may run programs",
    "OGR_SQLITE_LOAD_EXTENSIONS": "databases may load programs",
}
"""Settings of GDAL in the environment that undo what keeps inputs from doing harm."""
TOLERANCE = 1e-4
"""By which the scan on a device may differ from plain torch on the CPU, relative: what the model is held to."""


@dataclass(frozen=True)
class Scan:
    """What runs the four-direction scan on a device, how or why, and what came of trying it."""

    runs: str
    why: str
    seconds: float | None
    error: float | None
    failure: str | None

    @property
    def is_compiled(self) -> bool:
        """Whether kernels run, and not plain torch."""
        return self.runs != "torch"


@dataclass(frozen=True)
class Findings:
    """Everything found. Sizes are bytes; what cannot be known is None or empty."""

    geofcs: str
    python: str
    platform: str
    packages: dict[str, str]
    missing: dict[str, str]
    gdal: dict[str, str]
    cpu: dict[str, Any]
    memory: dict[str, int]
    torch: dict[str, Any]
    gpus: list[dict[str, Any]]
    driver: dict[str, str]
    kernels: dict[str, Any]
    scan: dict[str, Scan]
    risky: list[str]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values, with the cures."""
        return {**asdict(self), "cures": list(cures(self))}


def examine() -> Findings:
    """Look at everything; whatever is missing is a finding, never an error."""
    packages, missing = imported_packages(required_distributions())
    with_torch = "torch" in packages
    kernels = _kernels() if with_torch else {}
    return Findings(
        geofcs=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages,
        missing=missing,
        gdal={name: _gdal_of(name) for name in WITH_GDAL if name in packages},
        cpu=_cpu(with_torch),
        memory=_memory() if "psutil" in packages else {},
        torch=_torch() if with_torch else {},
        gpus=list(_gpus()) if with_torch else [],
        driver=_driver(),
        kernels=kernels,
        scan=dict(_scans()) if with_torch and "failure" not in kernels else {},
        risky=risky_settings(),
    )


def risky_settings() -> list[str]:
    """Those of `RISKY` that are switched on."""
    return [name for name in RISKY if os.environ.get(name, "").upper() not in ("", "NO", "FALSE", "OFF", "0")]


def cures(found: Findings) -> Iterator[str]:
    """What to do about what is missing, a line each."""
    for name, reason in found.missing.items():
        yield f"{name} cannot be imported ({reason}): pip install --force-reinstall {name}"
    if "failure" in found.kernels:
        yield f"geofcs-kernels fails ({found.kernels['failure']}): pip install --force-reinstall ./kernels"
    for device, scan in found.scan.items():
        if scan.failure:
            yield f"the scan fails on {device} ({scan.failure}): update the GPU's driver, or use --device cpu"
        elif not scan.is_compiled and device in ("cpu", "cuda"):
            yield f"the scan runs in plain torch on {device}, several times slower: {scan.why}"
    if "failure" in found.driver:
        yield f"nvidia-smi fails ({found.driver['failure']}): install NVIDIA's driver, or start the container with GPUs"
    elif found.driver and found.torch and not found.gpus:
        cuda = found.torch["cuda"]
        why = "was built without CUDA" if cuda is None else f"cannot use it with CUDA {cuda}"
        yield f"{found.driver['gpu']} lies idle, torch {why}: install the one that pytorch.org's selector names"
    for name in found.risky:
        yield f"{name} is set, so that {RISKY[name]}: unset it unless that is what you want"


def required_distributions() -> list[str]:
    """What geofcs cannot do without, as its own metadata say; sources that are not installed have none."""
    try:
        wanted = importlib.metadata.requires("geofcs") or []
    except importlib.metadata.PackageNotFoundError:
        wanted = [*LOOKED_INTO]
    names = (re.match(r"[\w.-]+", line) for line in wanted if "extra ==" not in line)
    return [name.group().lower() for name in names if name]


def imported_packages(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of those that can be imported, and why the others cannot: it may be a library of the system."""
    versions, missing = {}, {}
    for name in names:
        try:
            importlib.import_module(MODULES.get(name, name.replace("-", "_")))
            versions[name] = importlib.metadata.version(name)
        except (ImportError, OSError) as error:
            missing[name] = _first_line(error)
    return versions, missing


def _gdal_of(library: str) -> str:
    version = importlib.import_module(library).__gdal_version__
    return version if isinstance(version, str) else ".".join(map(str, version))


def _cpu(with_torch: bool) -> dict[str, Any]:
    capabilities = _capabilities() if with_torch else {}
    return {
        "name": capabilities.get("cpu_name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        # Fewer than there are where a scheduler or a container allows only some.
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "bf16": any(on is True and "bf16" in name for name, on in capabilities.items()) if capabilities else None,
    }


def _capabilities() -> dict[str, Any]:
    """What torch knows of the CPU; the first torch that tells is later than the oldest that geofcs takes."""
    import torch

    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def _memory() -> dict[str, int]:
    memory = importlib.import_module("psutil").virtual_memory()
    return {"total": memory.total, "free": memory.available}


def _torch() -> dict[str, Any]:
    import torch

    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _gpus() -> Iterator[dict[str, Any]]:
    """The GPUs that torch can use."""
    import torch

    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield {
            "name": gpu.name,
            "capability": f"{gpu.major}.{gpu.minor}",
            "memory": gpu.total_memory,
            "multiprocessors": gpu.multi_processor_count,
            "bf16": gpu.major >= 8,
        }


def _driver() -> dict[str, str]:
    """NVIDIA's driver and first GPU, whether or not torch can use it; empty where neither is."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    asked = [program, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
        version, _, name = answer.splitlines()[0].partition(", ")
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        return {"failure": _first_line(error)}
    return {"version": version, "gpu": name}


def _kernels() -> dict[str, Any]:
    """`geofcs_kernels.describe`; empty without the package."""
    if importlib.util.find_spec("geofcs_kernels") is None:
        return {}
    try:
        return dict(importlib.import_module("geofcs_kernels.describe").describe())
    except ImportError as error:
        return {"failure": _first_line(error)}


def _scans() -> Iterator[tuple[str, Scan]]:
    """What serves each kind of device here."""
    import torch

    yield "cpu", try_scan("cpu")
    if torch.cuda.is_available():
        yield "cuda", try_scan("cuda")
    if torch.backends.mps.is_available():
        yield "mps", try_scan("mps")


def try_scan(device: str) -> Scan:
    """Run a small scan on a device and compare it with plain torch on the CPU; a GPU's first may have to compile."""
    import torch

    from geofcs.model.kernels import choice_for
    from geofcs.model.ops import PLAIN_TORCH, four_direction_scan

    choice = choice_for(device)
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 32, 20, 20), (1, 4, 10, 20, 20), (4, 32, 8), (4, 32), (4, 32), (4, 32)]
    given = [torch.randn(shape, generator=generator) / 2 for shape in shapes]
    start = time.perf_counter()
    try:
        result = four_direction_scan(*(t.to(device) for t in given)).cpu()
    except RuntimeError as raised:
        return Scan(choice.name, choice.reason, None, None, _first_line(raised))
    seconds = round(time.perf_counter() - start, 3)
    expected = PLAIN_TORCH.forward(*given)
    error = float((result - expected).norm() / expected.norm())
    failure = None if error < TOLERANCE else f"differs from plain torch by {error:.1e}"
    return Scan(choice.name, choice.reason, seconds, error, failure)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
