"""`geofcs doctor`: what it finds here, and what it advises where something is missing."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pyogrio
import pytest
import rasterio
import torch
import typer

import geofcs.doctor
from geofcs.cli.doctor import doctor
from geofcs.doctor import (
    Findings,
    Scan,
    cures,
    examine,
    imported_packages,
    required_distributions,
    risky_settings,
    try_scan,
)
from geofcs.model import kernels


@pytest.fixture(scope="module")
def found() -> Findings:
    return examine()


def test_versions_are_those_of_the_libraries(found: Findings) -> None:
    assert found.packages["numpy"] == np.__version__
    assert found.torch["version"] == torch.__version__
    assert found.gdal == {
        "rasterio": rasterio.__gdal_version__,
        "pyogrio": ".".join(map(str, pyogrio.__gdal_version__)),
    }
    assert not found.missing


def test_memory_and_threads_are_the_machines(found: Findings) -> None:
    assert found.memory["total"] == psutil.virtual_memory().total
    assert 0 < found.memory["free"] < found.memory["total"]
    assert found.torch["threads"] == torch.get_num_threads()
    assert 1 <= found.cpu["usable_cores"] <= found.cpu["cores"]


def test_the_scan_is_what_the_model_would_run_and_was_tried(found: Findings) -> None:
    scan = found.scan["cpu"]
    assert (scan.runs, scan.why) == (kernels.choice_for("cpu").name, kernels.choice_for("cpu").reason)
    assert scan.failure is None
    assert scan.error is not None
    assert scan.error < 1e-4


def test_every_requirement_is_looked_at() -> None:
    assert {"torch", "rasterio", "pyogrio", "dask", "typer"} <= set(required_distributions())
    assert not {"pytest", "ruff"} & set(required_distributions())


def test_sources_that_are_not_installed_are_examined_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    assert "torch" in required_distributions()


def test_what_cannot_be_imported_is_missing_with_the_reason() -> None:
    versions, missing = imported_packages(["numpy", "no-such-thing"])
    assert list(versions) == ["numpy"]
    assert "no_such_thing" in missing["no-such-thing"]


PLAIN = Scan("torch", "install a compiler", 0.1, 0.0, None)
COMPILED = Scan("geofcs-kernels 1", "AVX2", 0.1, 0.0, None)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"missing": {"rasterio": "libexpat.so.1: cannot open"}}, "pip install --force-reinstall rasterio"),
        ({"scan": {"cpu": PLAIN}}, "plain torch on cpu, several times slower: install a compiler"),
        ({"scan": {"cuda": replace(COMPILED, failure="invalid image")}}, "fails on cuda (invalid image)"),
        ({"kernels": {"failure": "no module x"}}, "geofcs-kernels fails (no module x)"),
        ({"driver": {"failure": "no device"}}, "nvidia-smi fails (no device)"),
        ({"driver": {"version": "1", "gpu": "H1"}, "torch": {"cuda": None}}, "H1 lies idle, torch was built without"),
        ({"driver": {"version": "1", "gpu": "H1"}, "torch": {"cuda": "13.0"}}, "cannot use it with CUDA 13.0"),
        ({"risky": ["GDAL_HTTP_UNSAFESSL"]}, "GDAL_HTTP_UNSAFESSL is set, so that no server has to prove"),
    ],
    ids=["package", "scan", "failing scan", "kernels", "driver", "torch without CUDA", "torch too new", "settings"],
)
def test_each_lack_has_one_line_of_cure(found: Findings, change: dict[str, object], advice: str) -> None:
    well = replace(found, missing={}, scan={"cpu": COMPILED, "mps": PLAIN}, driver={}, gpus=[], risky=[])
    assert list(cures(well)) == []
    lines = list(cures(replace(well, **change)))  # type: ignore[arg-type]
    assert len(lines) == 1
    assert advice in lines[0]


def test_settings_that_undo_what_protects_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GDAL_HTTP_UNSAFESSL": "YES",
        "GDAL_DRIVER_PATH": "/tmp/x",
        "GDAL_VRT_ENABLE_PYTHON": "NO",
    }.items():
        monkeypatch.setenv(name, value)
    assert risky_settings() == ["GDAL_HTTP_UNSAFESSL", "GDAL_DRIVER_PATH"]


def test_a_scan_that_raises_or_differs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("cuModuleLoadData: no\nmore")

    monkeypatch.setattr("geofcs.model.ops.four_direction_scan", refuse)
    assert try_scan("cpu").failure == "cuModuleLoadData: no"
    monkeypatch.setattr("geofcs.model.ops.four_direction_scan", lambda x, *_: x)
    assert "differs from plain torch" in str(try_scan("cpu").failure)


def test_the_driver_is_asked_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '580.1, NVIDIA H1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert geofcs.doctor._driver() == {"version": "580.1", "gpu": "NVIDIA H1"}
    program.write_text("#!/bin/sh\nexit 9\n")
    assert "exit status 9" in geofcs.doctor._driver()["failure"]
    program.unlink()
    assert geofcs.doctor._driver() == {}


def test_the_report_names_every_lack_and_its_cure(
    found: Findings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poor = replace(found, missing={"scipy": "gone"}, kernels={}, scan={"cpu": PLAIN}, driver={"failure": "x"})
    monkeypatch.setattr("geofcs.doctor.examine", lambda: poor)
    with pytest.raises(typer.Exit) as leaving:
        doctor()
    assert leaving.value.exit_code == 3
    said = capsys.readouterr().out
    assert all(cure in said for cure in cures(poor))
    assert "not installed" in said


def begun(before: str, *arguments: str) -> subprocess.Popen[str]:
    """`geofcs doctor` in a process of its own, after some Python."""
    command = (
        f"{before}\nimport sys; sys.argv = ['geofcs', 'doctor', *{arguments}]; from geofcs.cli import main; main()"
    )
    return subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# Not None in sys.modules: libraries look there for what is optional to them, and take what they find for a module.
WITHOUT = """
import sys
class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent)
"""


TORCH_ALONE = "import geofcs.doctor; geofcs.doctor.required_distributions = lambda: ['torch']\n"
"""To import whatever else is required takes seconds, and kernels have nothing to do with it."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def ended(process: subprocess.Popen[str]) -> Done:
    stdout, stderr = process.communicate()
    return Done(process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def doctors() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The command in several environments, at the same time: nearly all of their time is that of imports."""
    started = {
        "as it is": begun("pass", "--json"),
        "no rasterio": begun(WITHOUT.format(name="rasterio")),
        "no torch": begun(WITHOUT.format(name="torch")),
        "no kernels": begun(TORCH_ALONE + "import sys; sys.modules['geofcs_kernels'] = None"),
        "broken kernels": begun(TORCH_ALONE + "import sys; sys.modules['geofcs_kernels.layout'] = None"),
    }
    with ExitStack() as processes:
        for process in started.values():
            processes.enter_context(process)
        yield started


Doctors = dict[str, subprocess.Popen[str]]


def test_json_is_one_object_with_everything(doctors: Doctors) -> None:
    done = ended(doctors["as it is"])
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {*Findings.__dataclass_fields__, "cures"}


def check_missing(absent: str, done: Done) -> None:
    """It runs and says what to install."""
    assert done.returncode == 3, done.stderr
    assert f"{absent} cannot be imported" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("absent", ["rasterio", "torch"])
def test_it_runs_where_something_is_missing_and_says_what_to_install(absent: str, doctors: Doctors) -> None:
    check_missing(absent, ended(doctors[f"no {absent}"]))


@pytest.mark.long
def test_it_runs_where_nothing_tells_of_memory_and_says_what_to_install() -> None:
    check_missing("psutil", ended(begun(WITHOUT.format(name="psutil"))))


def test_without_the_kernels_it_says_how_to_install_them(doctors: Doctors) -> None:
    done = ended(doctors["no kernels"])
    assert done.returncode == 0, done.stderr
    assert "pip install ./kernels" in done.stdout
    assert "RuntimeWarning" not in done.stderr


def test_kernels_that_cannot_be_imported_are_a_finding(doctors: Doctors) -> None:
    done = ended(doctors["broken kernels"])
    assert done.returncode == 0, done.stderr
    assert "geofcs-kernels fails" in done.stdout
