"""Imports point one way, and what is light stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "geofcs"

LAYERS = [
    {"errors"},
    {"durable", "lock", "space", "listener", "heap", "noise", "libraries"},
    {"classes", "grid", "tiles", "tiff", "cog", "gdal", "geopackage", "records", "breakdown", "report", "staging"},
    {"remote"},
    {"scene", "strips", "overviews", "vector", "synthetic"},
    {"storage", "model", "mosaic"},
    {"pyramid"},
    {"product"},
    {"raster", "wanted"},
    {"sums"},
    {"covers"},
    {"scoring", "blend", "journal", "making", "meanwhile"},
    {"devices", "reading", "oddities", "crew", "maker"},
    {"batches"},
    {"blocks"},
    {"plan"},
    {"schedule"},
    {"training", "run"},
    {"detect", "doctor", "verify", "listing"},
    {"evaluation", "bench", "pairs"},
    {"cli"},
    {"__main__"},
]
"""A module imports from layers above its own in this list, and from its own package."""

ONLY_IN = {
    "dask": {"schedule"},
    "distributed": {"schedule"},
    "rasterio": {
        *(
            "grid",
            "gdal",
            "scene",
            "strips",
            "storage",
            "product",
            "raster",
            "vector",
            "synthetic",
            "reading",
            "report",
        ),
        *("training", "evaluation", "verify", "bench"),
    },
    "pyogrio": {"scene", "vector", "report", "training", "bench"},
    "lightning_fabric": {"training"},
    "matplotlib": {"evaluation", "bench"},
    "PIL": {"training"},
    "pydantic": {"training"},
    "torchmetrics": {"training"},
    "yaml": {"training"},
    "typer": {"cli"},
    "rich": {"cli"},
}
"""Which modules of ours may import a library."""


NOT_YET = {"pandas", "pyarrow", "pyogrio", "scipy", "dask", "distributed"}
"""What a run needs later, if at all."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def top_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "geofcs"}
    return names


def layer_of(name: str) -> int:
    return next(level for level, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_layers_above_it(path: Path) -> None:
    name = top_name(path)
    if name == "__init__":
        return
    for target in imported(path):
        head, _, rest = target.partition(".")
        if head == "geofcs" and rest and not rest.startswith("__"):
            other = rest.split(".")[0]
            assert other == name or layer_of(other) < layer_of(name), f"{path.name} imports {target}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_are_imported_where_they_belong(path: Path) -> None:
    for target in imported(path):
        library = target.split(".")[0]
        assert top_name(path) in ONLY_IN.get(library, {top_name(path)}), f"{path.name} imports {target}"


WITHOUT = {
    "import geofcs.cli": {"torch", "dask", "distributed", "numpy", "rasterio"},
    "import geofcs.model.fcs, geofcs.model.weights": {"rasterio", "dask", "distributed", "pyogrio"},
    "import geofcs.training.train, geofcs.training.worlds": {"rasterio", "dask", "distributed", "pyogrio"},
    "import geofcs.detect, geofcs.pairs": NOT_YET,
    "import geofcs.bench.fresh, geofcs.bench.paced": NOT_YET,
    "import geofcs.bench.fresh, geofcs.bench.costless_run": NOT_YET,
    "import geofcs.synthetic": {"rasterio", "dask", "distributed", "torch"},
}
"""What a statement must not load."""


@pytest.fixture(scope="module")
def interpreters() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """One for each statement, which names what was loaded all the same; they are at it at the same time."""
    with ExitStack() as processes:
        started = {}
        for statement, absent in WITHOUT.items():
            check = f"{statement}; import sys; print(*{absent!r} & set(sys.modules))"
            process = subprocess.Popen([sys.executable, "-c", check], stdout=subprocess.PIPE, text=True)
            started[statement] = processes.enter_context(process)
        yield started


@pytest.mark.parametrize("statement", WITHOUT)
def test_importing_loads_nothing_heavy(statement: str, interpreters: dict[str, subprocess.Popen[str]]) -> None:
    loaded, _ = interpreters[statement].communicate()
    assert interpreters[statement].returncode == 0
    assert not loaded.split()
