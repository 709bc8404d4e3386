"""How much memory and disk a run takes on a scene that is larger than either: figures of docs/performance.md.

    python examples/scale.py FOLDER WIDTH [HEIGHT [WORKERS [PAIR]]]

Makes a pair of WIDTH x HEIGHT pixels (default: a square), runs a whole `detect` on it and prints what was seen as JSON.
PAIR is one of

- empty (default): takes but kilobytes, declares no nodata; a model that costs nothing finds the same in every tile;
- patches: a square of noise, as `geofcs bench scene` makes it; the model costs nothing and finds what noise tells it;
- places: a made-up pair, as `geofcs synth` makes it; the model is the one inside the package, which takes its time.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import rasterio

from geofcs.bench.costless_run import detect_without_cost
from geofcs.bench.made_pair import SCENES, make_pair
from geofcs.bench.scene import WEIGHTS, save_untrained
from geofcs.detect import detect
from geofcs.listener import Listener
from geofcs.model.shipped import named_or_shipped
from geofcs.plan import DetectRequest
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.wanted import POLYGONS

SECONDS_BETWEEN_LOOKS = 0.05
MOST_POLYGONS = 20_000_000
"""A square of 100,000 pixels has five million."""

EARLY = 0.1
"""The part of a stage after which memory should not grow any more."""


@dataclass
class Peaks:
    """The most memory of a stage, bytes, in its first tenth and in the rest of it, and how long it took."""

    early: int = 0
    late: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Disk:
    """Bytes of all files, and of those that have nothing to do with polygons."""

    all: int
    without_polygons: int

    def at_most(self, other: Disk) -> Disk:
        """The larger of each."""
        return Disk(max(self.all, other.all), max(self.without_polygons, other.without_polygons))


@dataclass
class Observer:
    """Listens to a run and looks at its memory and disk meanwhile, from a thread of its own."""

    out: Path
    stages: dict[str, Peaks] = field(default_factory=dict)
    disk: Disk = field(default_factory=lambda: Disk(0, 0))
    _peaks: Peaks = field(default_factory=Peaks)
    _total: int = 1
    _done: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def note(self, sentence: str) -> None:
        """Nothing to see."""

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:  # noqa: ARG002
        """From now on peaks are those of stage `name`."""
        self._total, self._done = total, 0
        self._peaks = self.stages[name] = Peaks()

    def advance(self, units: int) -> None:
        """Some of the stage is done."""
        self._done += units

    def watch(self) -> None:
        """Look until the run is over."""
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            peaks, memory = self._peaks, memory_of_all()
            if self._done < EARLY * self._total:
                peaks.early = max(peaks.early, memory)
            else:
                peaks.late = max(peaks.late, memory)
            peaks.seconds += SECONDS_BETWEEN_LOOKS
            self.disk = self.disk.at_most(disk_of(self.out.with_name(f"{self.out.name}.partial")))

    def stop(self) -> None:
        """The run is over."""
        self._over.set()


def memory_of_all() -> int:
    """Resident bytes of this process and its children."""
    here = psutil.Process()
    total = 0
    for process in (here, *here.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def disk_of(folder: Path) -> Disk:
    """What the files in a folder take."""
    sizes = {}
    for path in folder.rglob("*"):
        try:
            sizes[path] = path.stat().st_size
        except FileNotFoundError:
            continue
    return Disk(
        sum(sizes.values()), sum(size for path, size in sizes.items() if not path.name.startswith(Path(POLYGONS).stem))
    )


@dataclass(frozen=True)
class Pair:
    """Makes two scenes in a folder, says which weights to plan with, and runs `detect` on them."""

    made: Callable[[Path, int, int], Path]
    detected: Callable[[DetectRequest, Listener], dict[str, Any]]


def make_empty(folder: Path, width: int, height: int) -> Path:
    """Two sparse scenes; returns untrained weights."""
    for name in SCENES:
        with rasterio.open(
            folder / name, "w", driver="GTiff", count=3, dtype="uint8", width=width, height=height, crs="EPSG:32631",
            transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), tiled=True, SPARSE_OK=True, bigtiff="YES",
        ):  # fmt: skip
            pass
    return untrained(folder)


def make_patches(folder: Path, width: int, height: int) -> Path:
    """Two scenes of noise; returns untrained weights."""
    if width != height:
        raise SystemExit(f"patches {width} {height}: are made as squares only: give one number twice")
    make_pair(folder, width, threads=2)
    return untrained(folder)


def make_places(folder: Path, width: int, height: int) -> Path:
    """Two scenes of a made-up place; returns the weights in the package."""
    write_scenes(folder, SceneParameters(seed=1), Extent(height, width), threads=2, overwrite=True)
    return named_or_shipped(None)


def untrained(folder: Path) -> Path:
    """Weights that are planned with and never loaded."""
    save_untrained(folder / WEIGHTS)
    return folder / WEIGHTS


PAIRS = {
    "empty": Pair(make_empty, detect_without_cost),
    "patches": Pair(make_patches, detect_without_cost),
    "places": Pair(make_places, detect),
}


def main(folder: Path, width: int, height: int, workers: int, pair: Pair) -> None:
    """Prepare, run, print."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = pair.made(folder, width, height)
    t1, t2 = (str(folder / name) for name in SCENES)
    out = folder / "out"
    observer = Observer(out)
    watching = threading.Thread(target=observer.watch)
    watching.start()
    start = time.perf_counter()
    try:
        request = DetectRequest(
            t1, t2, out, weights, workers=workers, device="cpu", overwrite=True, max_polygons=MOST_POLYGONS
        )
        run = pair.detected(request, observer)
    finally:
        observer.stop()
        watching.join()
    products = disk_of(out)
    disk = observer.disk.at_most(products)
    peak = max(max(peaks.early, peaks.late) for peaks in observer.stages.values())
    seen = {
        "width": width,
        "height": height,
        "workers": workers,
        "seconds": round(time.perf_counter() - start, 1),
        "polygons": run["counts"]["polygons"],
        "peak_gigabytes_per_worker": round(peak / workers / 1e9, 3),
        "gigabytes_early_and_late": {
            name: [round(peaks.early / 1e9, 3), round(peaks.late / 1e9, 3)] for name, peaks in observer.stages.items()
        },
        "seconds_of_stages": run["seconds"],
        "product_bytes": products.all,
        "disk_over_products": round(disk.all / products.all, 2),
        "disk_over_products_without_polygons": round(disk.without_polygons / products.without_polygons, 2),
    }
    print(json.dumps(seen, indent=1))


if __name__ == "__main__":
    folder, width, height, workers, pair = [*sys.argv[1:], *["", "", sys.argv[2], "2", "empty"][len(sys.argv) - 1 :]]
    main(Path(folder), int(width), int(height), int(workers), PAIRS[pair])
