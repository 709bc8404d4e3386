"""What an install builds, with the compilers that there are, and what it says of those that there are not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import hatch_build
import pytest
from hatch_build import build, build_cuda

ROOT = Path(__file__).parents[1]
FAKE_NVCC = """#!/bin/sh
if [ "$1" = --list-gpu-arch ]; then printf 'compute_%s\\n' {known}; exit; fi
for argument; do echo "$argument"; done >"{said}"
while [ $# -gt 1 ]; do [ "$1" = -o ] && : >"$2"; shift; done
"""


@pytest.fixture
def no_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without compilers; returns the folder that is its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("CXX", raising=False)
    return folder


@pytest.mark.parametrize(
    ("known", "machine_code", "ptx"),
    [
        ("50 70 75 80 86 87 89 90", [80, 90], [80, 90]),
        ("75 80 86 89 90 100 101 103 120 121", [80, 90, 100, 120], [100, 120]),
        ("75 80 86 87 88 89 90 100 110 103 120 121", [80, 90, 100, 120], [100, 120]),
    ],
    ids=["CUDA 12.0", "CUDA 12.8", "CUDA 13.0"],
)
def test_nvcc_is_asked_for_the_architectures_that_it_knows(
    known: str, machine_code: list[int], ptx: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(FAKE_NVCC.format(known=known, said=tmp_path / "said"))
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    build_cuda(tmp_path / "kernels.fatbin")
    said = (tmp_path / "said").read_text().splitlines()
    asked = [line.removeprefix("-gencode=") for line in said if line.startswith("-gencode=")]
    assert asked == [
        *(f"arch=compute_{n},code=sm_{n}" for n in machine_code),
        *(f"arch=compute_{n},code=compute_{n}" for n in ptx),
    ]


@pytest.mark.usefixtures("no_compilers")
def test_without_compilers_nothing_is_built_and_each_is_named_once(tmp_path: Path) -> None:
    said: list[str] = []
    assert build(tmp_path / "lib", said.append) == []
    assert [line.split(":")[0] for line in said] == ["no C++ compiler (g++ or clang++)", "no nvcc"]


def test_a_compiler_that_fails_is_quoted_and_the_rest_is_built(
    no_compilers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = no_compilers / "g++"
    failing.write_text("#!/bin/sh\necho 'too old' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setitem(hatch_build.LIBRARY_FILES, "kernels.fatbin", (hatch_build.CUDA_SOURCES, Path.touch))
    said: list[str] = []
    assert [path.name for path in build(tmp_path, said.append)] == ["kernels.fatbin"]
    assert "too old" in said[0]


def test_what_is_newer_than_its_sources_is_kept_if_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(target: Path) -> None:
        made.append(target)
        target.touch()

    monkeypatch.setattr(hatch_build, "LIBRARY_FILES", {"x.so": (hatch_build.CPU_SOURCES, make)})
    for keep in (True, True, False):
        build(tmp_path, pytest.fail, keep=keep)
    assert len(made) == 2
    os.utime(tmp_path / "x.so", (0, 0))
    build(tmp_path, pytest.fail, keep=True)
    assert len(made) == 3


def wheel_in(folder: Path) -> set[str]:
    """Builds a wheel with the compilers that the environment has; returns the names of the files in it."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        return {f"tag {wheel.stem.split('-', 2)[2]}", *file.namelist(), *done.stderr.splitlines()}


@pytest.mark.usefixtures("no_compilers")
def test_without_compilers_the_wheel_is_pure_python_and_holds_the_cuda_sources(tmp_path: Path) -> None:
    found = wheel_in(tmp_path / "dist")
    assert "tag py3-none-any" in found
    assert "geofcs_kernels/csrc/cuda/kernels.cu" in found
    assert not [name for name in found if name.startswith("geofcs_kernels/lib/")]
    assert [line for line in found if "no C++ compiler" in line]


def test_a_compiler_makes_it_a_wheel_of_this_platform(no_compilers: Path, tmp_path: Path) -> None:
    compiler = no_compilers / "g++"
    compiler.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && : >"$2"; shift; done\n')
    compiler.chmod(0o755)
    found = wheel_in(tmp_path / "dist")
    assert "tag py3-none-any" not in found
    assert [name for name in found if name.startswith("geofcs_kernels/lib/")]
