"""Blocks that kill their workers, in the whole job: the rest is finished, and the command says what is missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofcs.batches import ScorerSource
from geofcs.classes import SECOND
from geofcs.plan import DetectPlan
from geofcs.synthetic.write import Extent
from tests.commands import Command, Said
from tests.made import make_material
from tests.schedule.processes import process_cluster
from tests.schedule.scorers import DeadlySource, PoisonSource
from tests.stubs import StubPair, StubScorerSource

HEIGHT, WIDTH = 300, 100
"""Six tile rows, the first three of which are a block."""

POISONED = slice(48, 144)
"""Rows of the strips that the second tile row reaches into, whose last tile is the one that kills."""

NAMED = "the block(s) at rows 0 to 143, columns 0 to 99"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes and weights; what is computed of them is made up."""
    folder = tmp_path_factory.mktemp("scenes")
    make_material(folder, Extent(HEIGHT, WIDTH), width=4)
    return folder


@dataclass(frozen=True)
class Detect:
    """`geofcs detect` into a folder, by stubs."""

    geofcs: Command
    scenes: Path
    out: Path

    def __call__(self, *how: object) -> Said:
        scenes = (self.scenes / "t1.tif", self.scenes / "t2.tif", "--weights", self.scenes / "w.safetensors")
        return self.geofcs("detect", *scenes, "-o", self.out, "--tile", 64, "--overlap", 16, "--quiet", *how)

    @property
    def strips(self) -> list[str]:
        """Names of the strips of an unfinished run."""
        return sorted(path.name for path in self.out.with_name("out.partial").rglob("*.tif"))

    @property
    def rasters(self) -> dict[str, bytes]:
        return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in self.out.glob("*.tif")}


@pytest.fixture
def detect(geofcs: Command, folder: Path, tmp_path: Path) -> Detect:
    return Detect(geofcs, folder, tmp_path / "out")


Scored = Callable[[ScorerSource], None]


@pytest.fixture
def scored_by(monkeypatch: pytest.MonkeyPatch) -> Scored:
    """Have all that follows scored by a stub, on a scene of its own coordinates."""
    job = DetectPlan.job

    def use(source: ScorerSource) -> None:
        pair = StubPair(HEIGHT, WIDTH)
        monkeypatch.setattr(
            DetectPlan, "job", lambda plan, strips: replace(job(plan, strips), pair=pair, scorer=source)
        )

    return use


POISONS = {"threads": DeadlySource, "processes": PoisonSource}
"""To threads, which cannot be killed, dying is raising an error."""

kinds = pytest.mark.parametrize("kind", ["threads", pytest.param("processes", marks=pytest.mark.long)])


@pytest.fixture
def poison(tmp_path: Path, kind: str) -> PoisonSource:
    (tmp_path / "deaths").mkdir()
    return POISONS[kind](WIDTH, tmp_path / "deaths", row=70, col=90)


@pytest.fixture
def undisturbed(detect: Detect, scored_by: Scored, tmp_path: Path) -> Detect:
    """An output of the same without deaths."""
    whole = replace(detect, out=tmp_path / "whole")
    scored_by(StubScorerSource(WIDTH))
    assert whole("--workers", 1).exit_code == 0
    return whole


def deaths(poison: PoisonSource) -> int:
    return len(list(poison.folder.iterdir()))


def check_nodata(detect: Detect, undisturbed: Detect) -> None:
    """What could not be computed is nodata and named, the rest is as it would have been."""
    for name, nodata in (("change.tif", SECOND.nodata), ("probability.tif", 255)):
        with rasterio.open(detect.out / name) as file, rasterio.open(undisturbed.out / name) as whole:
            pixels, expected = file.read(1), whole.read(1)
        expected[POISONED] = nodata
        assert np.array_equal(pixels, expected)
    record = json.loads((detect.out / "run.json").read_text())
    assert record["oddities"]["tiles_failed"] == [[row, col] for row in (48, 96) for col in (0, 36)]
    assert record["on_tile_error"] == "nodata"


@kinds
def test_a_block_that_kills_its_worker_three_times_is_named_and_the_same_command_goes_on(
    detect: Detect, undisturbed: Detect, scored_by: Scored, poison: PoisonSource, kind: str
) -> None:
    scored_by(replace(poison, deaths=3))
    said = detect("--workers", 2, "--worker-kind", kind)
    assert said.exit_code == 6
    assert f"three workers died while computing {NAMED}: " in said.text
    assert "with more memory or fewer --workers, or with --on-tile-error nodata" in said.text
    assert deaths(poison) == 3
    assert detect.strips == [f"{row:05d}-00000.tif" for row in (0, 3, 4, 5)]
    assert detect("--workers", 2, "--worker-kind", kind).exit_code == 0
    assert detect.rasters == undisturbed.rasters
    assert json.loads((detect.out / "run.json").read_text())["counts"]["strips_kept"] == 4


@kinds
def test_a_block_that_is_given_up_becomes_nodata_and_is_named_where_that_is_wished(
    detect: Detect, undisturbed: Detect, scored_by: Scored, poison: PoisonSource, kind: str
) -> None:
    scored_by(poison)
    said = detect("--workers", 2, "--worker-kind", kind, "--on-tile-error", "nodata")
    assert said.exit_code == 7
    assert "4 tile(s) that could not be computed and are nodata; run.json lists them" in said.text
    assert deaths(poison) == 3
    check_nodata(detect, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["processes"])
def test_on_a_cluster_three_deaths_are_three_as_well(
    detect: Detect, undisturbed: Detect, scored_by: Scored, poison: PoisonSource, tmp_path: Path
) -> None:
    """Dask itself would try four workers before it says a word."""
    scored_by(poison)
    with process_cluster(tmp_path) as cluster:
        for _ in range(2):
            cluster.start_worker()
        said = detect("--scheduler", cluster.address)
        assert said.exit_code == 6
        assert f"three workers died while computing {NAMED}: " in said.text
        assert "on workers with more memory, or with --on-tile-error nodata" in said.text
        assert deaths(poison) == 3
        assert detect.strips == [f"{row:05d}-00000.tif" for row in (0, 3, 4, 5)]
        assert detect("--scheduler", cluster.address, "--on-tile-error", "nodata").exit_code == 7
    assert deaths(poison) == 6
    check_nodata(detect, undisturbed)
