"""Scenes far larger than memory allows for at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

SIDE = 20_000
MOST_BYTES_PER_WORKER = 2e9

PROGRAM = """
import resource, sys
from dataclasses import replace
from pathlib import Path

from geofcs.detect import Clock, carry_out, computed_at
from geofcs.journal import Journal
from geofcs.listener import never
from geofcs.lock import locked
from geofcs.plan import DetectRequest, make_plan
from geofcs.schedule import ThisMachine
from geofcs.scoring import ModelSource
from tests.stubs import Silent, StubScorer


class StubModel(ModelSource):
    def load(self):
        return StubScorer(1e9)


folder, workers = Path(sys.argv[1]), int(sys.argv[2])
scenes = str(folder / "t1.tif"), str(folder / "t2.tif")
request = DetectRequest(*scenes, folder / "out", folder / "pico.safetensors", tile=512, workers=workers)
site = ThisMachine()
plan = make_plan(request, site)
plan = replace(plan, source=StubModel(plan.source.weights, plan.source.sha256, "cpu", "fp32"))
with locked(request.out) as lock:
    run = carry_out(
        plan, request, Journal(request.out), lock, Clock(), Silent(), computed_at(site, plan, never)
    )
assert run["counts"]["tiles_scored"] >= plan.lattice.count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture
def sparse_pair(tmp_path: Path) -> Path:
    """Two scenes that claim 20,000 x 20,000 pixels, declare no nodata and take a few kilobytes, and small weights."""
    from geofcs.classes import SECOND
    from geofcs.model.build import build
    from geofcs.model.config import pico
    from geofcs.model.weights import save_weights

    for name in ("t1.tif", "t2.tif"):
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32631", "tiled": True}
        place = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)
        with rasterio.open(
            tmp_path / name, "w", height=SIDE, width=SIDE, transform=place, SPARSE_OK=True, **profile
        ):  # fmt: skip
            pass
    config = pico(classes=SECOND.count, width=4)
    save_weights(tmp_path / "pico.safetensors", build(config, seed=0), config, SECOND, tile=512, trained="not trained")
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_a_sparse_scene_of_20000_pixels_a_side_stays_under_2_gb_per_worker(sparse_pair: Path, workers: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(sparse_pair), str(workers)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    assert peak < MOST_BYTES_PER_WORKER * workers, f"{peak / 1e9:.2f} GB"
    with rasterio.open(sparse_pair / "out" / "change.tif") as file:
        assert file.shape == (SIDE, SIDE)
