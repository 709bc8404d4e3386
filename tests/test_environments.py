"""`geofcs detect` with kernels, where nothing could compile them, and where they are not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from typer.testing import CliRunner

from geofcs.classes import SECOND
from geofcs.cli.app import app
from geofcs.model import kernels
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes

ROOT = Path(__file__).parent.parent
TILE = 128
RASTERS = ("change.tif", "landcover_t1.tif", "landcover_t2.tif")
EQUAL_SHARE = 0.9999

with_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to build the kernels with")


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    out: Path
    said: str

    @property
    def kernel(self) -> str:
        """What ran the scan, as run.json says."""
        name: str = json.loads((self.out / "run.json").read_text())["plan"]["compute"]["kernel"]
        return name

    def labels(self, raster: str) -> np.ndarray:
        with rasterio.open(self.out / raster) as file:
            return np.asarray(file.read(1))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates and untrained weights."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, SceneParameters(seed=5), Extent(2 * TILE, 3 * TILE))
    config = pico(classes=SECOND.count, depths=(1, 1, 1, 1))
    save_weights(folder / "untrained.safetensors", build(config, seed=0), config, SECOND, tile=TILE, trained="not")
    return folder


def words(scenes: Path, out: Path, device: str) -> list[str]:
    """`geofcs detect` as it is typed, after the first word."""
    given = ["detect", *map(str, (scenes / "t1.tif", scenes / "t2.tif", "-o", out)), "--landcover"]
    return [*given, "--weights", str(scenes / "untrained.safetensors"), "--device", device, "--precision", "fp32"]


def detect(python: Path | str, scenes: Path, out: Path, device: str = "cpu") -> Run:
    """`geofcs detect` by an interpreter."""
    done = subprocess.run([str(python), "-m", "geofcs", *words(scenes, out, device)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Run(out, done.stderr)


@pytest.fixture(scope="session")
def reference(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of the environment that the tests run in, on the CPU, with kernels if they are built here."""
    out = tmp_path_factory.mktemp("reference") / "out"
    done = CliRunner().invoke(app, words(scenes, out, "cpu"), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Run(out, done.output)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with everything that is installed here but geofcs's own; geofcs by its sources."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = site_packages(folder)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "geofcs" not in entry.name and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    (packages / "geofcs.pth").write_text(f"{ROOT}\n")
    return folder


def site_packages(environment: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))


def install_kernels(environment: Path, variables: dict[str, str]) -> None:
    """`pip install ./kernels`, with the compilers that the variables leave; without a network."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    kept = {name: value for name, value in os.environ.items() if name not in ("CXX", "CUDA_HOME", "CUDA_PATH")}
    target = ["--target", str(site_packages(environment)), str(ROOT / "kernels")]
    subprocess.run([*pip, *target], check=True, env={**kept, **variables})


def libraries(environment: Path) -> set[str]:
    return {path.name for path in site_packages(environment).glob("geofcs_kernels/lib/*")}


def agree(run: Run, reference: Run) -> None:
    """On almost every label of every raster."""
    for raster in RASTERS:
        assert np.mean(run.labels(raster) == reference.labels(raster)) >= EQUAL_SHARE, raster


def warnings_in(said: str) -> list[str]:
    return [line for line in said.splitlines() if "plain torch" in line]


def copy_kernels(environment: Path) -> None:
    """The kernels as they are installed here, less the fat binaries."""
    found = importlib.util.find_spec("geofcs_kernels")
    if found is None or found.origin is None or not kernels.choice_for("cpu").kernels:
        pytest.skip(kernels.choice_for("cpu").reason)
    target = site_packages(environment) / "geofcs_kernels"
    shutil.copytree(Path(found.origin).parent, target, ignore=shutil.ignore_patterns("*.fatbin", "__pycache__"))


def test_without_a_fat_binary(environment: Path, scenes: Path, reference: Run, tmp_path: Path) -> None:
    copy_kernels(environment)
    compiled_kernels_run(environment, scenes, reference, tmp_path)


@with_compiler
@pytest.mark.long
def test_installed_without_nvcc(environment: Path, scenes: Path, reference: Run, tmp_path: Path) -> None:
    install_kernels(environment, {"CUDA_HOME": str(tmp_path / "none")})
    compiled_kernels_run(environment, scenes, reference, tmp_path)


def compiled_kernels_run(environment: Path, scenes: Path, reference: Run, tmp_path: Path) -> None:
    """And nothing is said, and labels are the same."""
    assert libraries(environment) == {"libgeofcs_cpu.so"}
    run = detect(environment / "bin" / "python", scenes, tmp_path / "out")
    assert run.kernel.startswith("geofcs-kernels ")
    assert not warnings_in(run.said)
    agree(run, reference)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_without_nvcc_a_gpu_compiles_at_first_use(
    environment: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_kernels(environment)
    monkeypatch.setenv("GEOFCS_KERNELS_CACHE", str(tmp_path / "cache"))
    run = detect(environment / "bin" / "python", scenes, tmp_path / "out", device="cuda")
    assert list((tmp_path / "cache").glob("*.cubin"))
    agree(run, detect(sys.executable, scenes, tmp_path / "reference", device="cuda"))


def test_without_a_compiler(environment: Path, scenes: Path, reference: Run, tmp_path: Path) -> None:
    install_kernels(environment, {"PATH": str(tmp_path / "none"), "CUDA_HOME": str(tmp_path / "none")})
    assert not libraries(environment)
    run = detect(environment / "bin" / "python", scenes, tmp_path / "out")
    assert run.kernel == "torch"
    assert len(warnings_in(run.said)) == 1
    assert "install a C++ compiler" in warnings_in(run.said)[0]
    agree(run, reference)


def test_without_the_kernels_package(environment: Path, scenes: Path, reference: Run, tmp_path: Path) -> None:
    run = detect(environment / "bin" / "python", scenes, tmp_path / "out")
    assert run.kernel == "torch"
    assert len(warnings_in(run.said)) == 1
    assert "pip install ./kernels" in warnings_in(run.said)[0]
    agree(run, reference)
