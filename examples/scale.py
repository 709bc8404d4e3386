"""How much memory and disk a run takes on a scene that is larger than either: figures of docs/performance.md.

    python examples/scale.py FOLDER WIDTH [HEIGHT [WORKERS]]

Makes a pair that claims WIDTH x HEIGHT pixels (default: a square), declares no nodata and takes but kilobytes, runs a
whole `detect` on it with a model that costs nothing and finds change everywhere, and prints what was seen as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import rasterio

from geofcs.bench.costless_run import detect_without_cost
from geofcs.bench.made_pair import SCENES
from geofcs.bench.scene import WEIGHTS, save_untrained
from geofcs.plan import DetectRequest

SECONDS_BETWEEN_LOOKS = 0.2
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


@dataclass
class Observer:
    """Listens to a run and looks at its memory and disk meanwhile, from a thread of its own."""

    out: Path
    stages: dict[str, Peaks] = field(default_factory=dict)
    disk: int = 0
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
            self.disk = max(self.disk, disk_of(self.out.with_name(f"{self.out.name}.partial")))

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


def disk_of(folder: Path) -> int:
    """Bytes that the files in a folder take."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def make_pair(folder: Path, width: int, height: int) -> None:
    """Two sparse scenes, and weights to plan with."""
    for name in SCENES:
        with rasterio.open(
            folder / name, "w", driver="GTiff", count=3, dtype="uint8", width=width, height=height, crs="EPSG:32631",
            transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), tiled=True, SPARSE_OK=True, bigtiff="YES",
        ):  # fmt: skip
            pass
    save_untrained(folder / WEIGHTS)


def main(folder: Path, width: int, height: int, workers: int) -> None:
    """Prepare, run, print."""
    folder.mkdir(parents=True, exist_ok=True)
    make_pair(folder, width, height)
    t1, t2 = (str(folder / name) for name in SCENES)
    out = folder / "out"
    observer = Observer(out)
    watching = threading.Thread(target=observer.watch)
    watching.start()
    start = time.perf_counter()
    try:
        request = DetectRequest(
            t1, t2, out, folder / WEIGHTS, workers=workers, device="cpu", overwrite=True, max_polygons=MOST_POLYGONS
        )
        run = detect_without_cost(request, observer)
    finally:
        observer.stop()
        watching.join()
    products = disk_of(out)
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
        "product_bytes": products,
        "disk_over_products": round(max(observer.disk, products) / products, 2),
    }
    print(json.dumps(seen, indent=1))


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[2:]]
    main(Path(sys.argv[1]), given[0], given[1] if len(given) > 1 else given[0], given[2] if len(given) > 2 else 2)
