"""Whole runs whose every input lies elsewhere: the same products as from a disk, whatever the server does."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.io import MemoryFile

from geofcs.classes import SECOND
from geofcs.detect import detect
from geofcs.errors import InputError, SourceError
from geofcs.model.build import build
from geofcs.model.shipped import named_or_shipped
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions
from tests.remote.scenes import served_scene
from tests.remote.server import TRANSIENT, Faults, FaultyServer
from tests.remote.store import Store
from tests.stubs import Silent
from tests.torture.runs import Content, content_of

SIDE = 96
PIXEL, WEST, NORTH = 10, 500_000, 5_000_000
"""As `served_scene` places its pixels, metres."""

MASKED = slice(24, 42)
"""Rows and columns that the mask leaves out."""

CORNERS = [[WEST, NORTH], [WEST + SIDE * PIXEL, NORTH], [WEST, NORTH - SIDE * PIXEL], [WEST, NORTH]]
AREA = {
    "type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}},
    "features": [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [CORNERS]}},
    ],
}
"""The upper left half of the scene."""

ATTEMPTS = 8
"""Of a run that ends with "the same command goes on": a server that fails so often is not met outside of tests."""


@dataclass(frozen=True)
class Inputs:
    """The addresses of everything that a run reads."""

    t1: str
    t2: str
    mask: str
    aoi: str
    weights: str

    def run(self, out: Path, listener: Silent | None = None, *, restart: bool = False) -> None:
        """`geofcs detect` on them."""
        scene = SceneOptions(mask_t2=self.mask, aoi=self.aoi)
        request = DetectRequest(
            self.t1, self.t2, out, named_or_shipped(self.weights), scene, tile=64, overlap=8, threads=1, workers=1,
            landcover=True, restart=restart,
        )  # fmt: skip
        detect(request, listener or Silent())


def mask_bytes() -> bytes:
    """A GeoTIFF on the scenes' grid that leaves a square out."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[MASKED, MASKED] = 1
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=SIDE, height=SIDE, count=1, dtype="uint8", crs="EPSG:32631", compress="deflate",
            transform=Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), tiled=True, blockxsize=32, blockysize=32,
        ) as file:  # fmt: skip
            file.write(mask, 1)
        return bytes(memory.getbuffer())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run reads, by the names of `Inputs`."""
    config, weights = pico(classes=SECOND.count, width=4), tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(weights, build(config, seed=0), config, SECOND, tile=64, trained="not trained")
    return {
        **{f"t{date}": served_scene("deflate", SIDE, seed=date, block=16).content for date in (1, 2)},
        "mask": mask_bytes(),
        "aoi": json.dumps(AREA).encode(),
        "weights": weights.read_bytes(),
    }


@pytest.fixture(scope="module")
def from_disk(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Content:
    """The products of the same files on this machine's disk."""
    folder = tmp_path_factory.mktemp("disk")
    on_disk(files, folder).run(folder / "out")
    with rasterio.open(folder / "out" / "change.tif") as file:
        nodata = file.read(1) == file.nodata
    rows, cols = np.mgrid[:SIDE, :SIDE]
    expected = rows + cols >= SIDE - 1
    expected[MASKED, MASKED] = True
    assert np.array_equal(nodata, expected), "the mask and the area have their say"
    return content_of(folder / "out")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def on_disk(files: dict[str, bytes], folder: Path) -> Inputs:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Inputs(**{name: str(folder / name) for name in files})


def on_server(files: dict[str, bytes], server: FaultyServer) -> Inputs:
    server.files |= files
    return Inputs(**{name: server.url(name) for name in files})


def in_bucket(files: dict[str, bytes], store: Store) -> Inputs:
    return Inputs(**{name: store.put(name, content) for name, content in files.items()})


@pytest.mark.parametrize(
    ("kinds", "every", "runs"),
    [
        pytest.param([each for each in TRANSIENT if each != "stall"], 10, 1, id="quick"),
        pytest.param([*TRANSIENT, "404"], 6, 12, id="long", marks=pytest.mark.long),
    ],
)
def test_a_run_on_a_server_that_fails_makes_what_one_on_a_disk_makes(
    kinds: Sequence[str],
    every: int,
    runs: int,
    files: dict[str, bytes],
    from_disk: Content,
    server: FaultyServer,
    tmp_path: Path,
) -> None:
    """Each request in `every` fails, by one kind after the other, others in each run."""
    inputs = on_server(files, server)
    for number in range(runs):
        server.faults = Faults(pick=every_so_often(kinds, every, start=number))
        until_done(inputs, tmp_path / f"out{number}")
        assert content_of(tmp_path / f"out{number}") == from_disk
        assert set(server.faults.injected) == set(kinds)


def every_so_often(kinds: Sequence[str], every: int, start: int) -> Callable[[str, int], str | None]:
    def pick(_request: str, number: int) -> str | None:
        turn, rest = divmod(number + start, every)
        return None if rest else kinds[(turn + start) % len(kinds)]

    return pick


def until_done(inputs: Inputs, out: Path) -> None:
    """Give the same command again as long as its sources fail."""
    for _ in range(ATTEMPTS - 1):
        try:
            inputs.run(out)
        except SourceError as error:
            assert "goes on" in str(error) or "go on" in str(error), error
        else:
            return
    inputs.run(out)


def test_a_run_on_a_bucket_makes_what_one_on_a_disk_makes(
    files: dict[str, bytes], from_disk: Content, store: Store, tmp_path: Path
) -> None:
    in_bucket(files, store).run(tmp_path / "out")
    assert content_of(tmp_path / "out") == from_disk


class AfterTheLastTile(Silent):
    """A listener that does something when all tiles are done and nothing has looked at the sources since."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then = then
        self._stage = ""

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        super().stage(name, total, unit, pixels_per_unit)
        self._stage = name

    def advance(self, units: int) -> None:
        super().advance(units)
        if self._stage == "tiles" and self.done == self.total:
            self._then()


CHANGED = (
    r"^{address}: has changed since the run was planned \({what} .*, was .*\): "
    r"restore it, or give the command again with --restart$"
)


@pytest.mark.parametrize("name", ["t1", "mask"])
def test_a_file_on_a_server_that_changes_during_a_run_is_noticed_in_the_end(
    name: str, files: dict[str, bytes], from_disk: Content, server: FaultyServer, tmp_path: Path
) -> None:
    inputs = on_server(files, server)
    refused(inputs, tmp_path / "out", lambda: server.etags.update({name: '"other"'}), server.url(name), "etag")
    server.etags.clear()
    inputs.run(tmp_path / "out")
    assert content_of(tmp_path / "out") == from_disk, "restored, it goes on"


def test_an_object_in_a_bucket_that_changes_during_a_run_is_noticed_in_the_end(
    files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    inputs, other = in_bucket(files, store), files["t1"]
    refused(inputs, tmp_path / "out", lambda: store.put("t2", other), inputs.t2, "etag|size_bytes|modified")
    inputs.run(tmp_path / "out", restart=True)
    on_disk(files | {"t2": other}, tmp_path).run(tmp_path / "expected")
    assert content_of(tmp_path / "out") == content_of(tmp_path / "expected"), "begun anew, it has read the other"


def test_a_file_on_a_disk_that_changes_during_a_run_is_noticed_in_the_end(
    files: dict[str, bytes], from_disk: Content, tmp_path: Path
) -> None:
    inputs = on_disk(files, tmp_path)
    before = Path(inputs.t2).stat().st_mtime_ns
    refused(inputs, tmp_path / "out", lambda: os.utime(inputs.t2, ns=(0, before + 1)), inputs.t2, "mtime_ns")
    os.utime(inputs.t2, ns=(0, before))
    inputs.run(tmp_path / "out")
    assert content_of(tmp_path / "out") == from_disk, "restored, it goes on"


def refused(inputs: Inputs, out: Path, change: Callable[[], object], address: str, what: str) -> None:
    """Run while an input is changed behind the last tile: exit code 3, one sentence, and nothing is published."""
    sentence = CHANGED.format(address=re.escape(address), what=f"({what})")
    with pytest.raises(InputError, match=sentence) as caught:
        inputs.run(out, AfterTheLastTile(change))
    assert caught.value.exit_code == 3
    assert not out.exists()
    assert not out.with_name("out.partial").joinpath("change.tif").exists()
