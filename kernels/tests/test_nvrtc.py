"""CUDA's run-time compiler: which is taken, and that it compiles the CUDA sources, without a GPU."""

from __future__ import annotations

import importlib.util
import itertools
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from geofcs_kernels import images, nvrtc

ARCHITECTURES = [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]
VARIANTS = [variant for variants in images.VARIANTS.values() for variant in variants]
# Each group of kernels once and each architecture; the long test takes all pairs.
SAMPLE = list(zip(VARIANTS, itertools.cycle(ARCHITECTURES), strict=False))
OTHERS = sorted(set(itertools.product(VARIANTS, ARCHITECTURES)) - set(SAMPLE))
ELF = b"\x7fELF"
with_nvrtc = pytest.mark.skipif(not nvrtc.available(), reason=nvrtc.MISSING)


@pytest.fixture(scope="module")
def compilations(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, tuple[int, int]], Future[bytes]]:
    """Those of `SAMPLE`, all of which have ended: beside each other they take half the time on two cores."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(os.cpu_count()) as pool:
        patch.setenv("GEOFCS_KERNELS_CACHE", str(tmp_path_factory.mktemp("kernels")))
        return {each: pool.submit(images.compiled, each[1], each[0]) for each in SAMPLE}


@with_nvrtc
@pytest.mark.parametrize(("variant", "capability"), SAMPLE, ids=str)
def test_the_cuda_sources_compile(
    variant: str, capability: tuple[int, int], compilations: dict[tuple[str, tuple[int, int]], Future[bytes]]
) -> None:
    assert compilations[variant, capability].result().startswith(ELF)


@with_nvrtc
@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("variant", "capability"), OTHERS, ids=str)
def test_the_cuda_sources_compile_for_every_architecture(
    variant: str, capability: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOFCS_KERNELS_CACHE", str(tmp_path))
    assert images.compiled(capability, variant).startswith(ELF)


@with_nvrtc
def test_the_first_of_a_dtype_has_all_of_it_compiled_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    def compile_source(_source: str, options: list[str]) -> bytes:
        compiled.append(options[1])
        return str(options).encode()

    monkeypatch.setenv("GEOFCS_KERNELS_CACHE", str(tmp_path))
    monkeypatch.setattr(nvrtc, "compile_source", compile_source)
    expected = images.image_for((9, 0), "bfloat16")
    for _ in range(2):
        assert images.image_for((9, 0), "bfloat16") == expected
        assert {images.image_for((9, 0), unit) for unit in images.relatives("bfloat16")} >= {expected}
    assert len(compiled) == len(list(tmp_path.glob("*.cubin"))) == len(images.relatives("bfloat16"))


def test_relatives_are_of_the_same_dtype() -> None:
    assert set(images.relatives("float16_fast")) == {"float16", "float16_fast", "pointwise_float16", "pointwise_any"}
    assert {relative for variant in VARIANTS for relative in images.relatives(variant)} == set(VARIANTS)


@with_nvrtc
def test_a_compilation_that_fails_fails_for_its_asker_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise nvrtc.CompileError("refused")

    monkeypatch.setenv("GEOFCS_KERNELS_CACHE", str(tmp_path))
    monkeypatch.setattr(nvrtc, "compile_source", refuse)
    with pytest.raises(nvrtc.CompileError, match="refused"):
        images.image_for((9, 0), "float32")
    monkeypatch.setattr(nvrtc, "compile_source", lambda *_: b"compiled")
    assert images.image_for((9, 0), "float32") == b"compiled"


@with_nvrtc
def test_a_gpu_later_than_the_compiler_gets_ptx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_supported", lambda: [80, 90])
    assert nvrtc.target((9, 0)) == "--gpu-architecture=sm_90"
    assert nvrtc.target((12, 0)) == "--gpu-architecture=compute_90"
    ptx = nvrtc.compile_source('extern "C" __global__ void nothing() {}', [nvrtc.target((12, 0))])
    assert b".target sm_90" in ptx


@with_nvrtc
def test_a_source_that_does_not_compile_says_where() -> None:
    with pytest.raises(nvrtc.CompileError, match=r"kernels.cu\(1\)"):
        nvrtc.compile_source("nonsense", [nvrtc.target((8, 0))])


@pytest.mark.parametrize(("cuda", "first"), [("13.0", "libnvrtc.so.13"), ("12.8", "libnvrtc.so.12")])
def test_of_several_libraries_that_of_torchs_cuda_comes_first(
    cuda: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12", "cuda_nvrtc/lib/libnvrtc.alt.so.12"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    here = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: here)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    found = [Path(path).name for path in nvrtc.candidates() if path.startswith(str(tmp_path))]
    assert found[0] == first
    assert len(found) == 2


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "_load", lambda: None)
    assert not nvrtc.available()
    with pytest.raises(nvrtc.CompileError, match="pip install nvidia-cuda-nvrtc"):
        nvrtc.compile_source("", [])


def test_the_sources_need_no_headers_of_cuda() -> None:
    """NVRTC finds none on a machine that has only pip's torch."""
    for source in images.SOURCES.iterdir():
        for line in source.read_text().splitlines():
            if line.startswith("#include"):
                assert line.startswith('#include "'), f"{source.name}: {line}"
