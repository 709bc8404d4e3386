"""What verification and the journal cost: their share of the time of one run with an untrained `pico`.

    python -m tests.torture.overhead [SIZE]

Everything that would not be needed if nothing ever failed is timed while it runs: checksums, waiting for the disk,
decoding what was compressed, reading rasters back, checking the GeoPackage, lock and journal. (SHA-256 of the rasters,
on their way to the disk, is not: a hundredth of a second here.)
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any
from unittest import mock

from geofcs import blocks, detect, durable, raster, run, storage, strips
from geofcs.classes import SECOND
from geofcs.cog import TileRow
from geofcs.durable import sync
from geofcs.journal import Journal
from geofcs.lock import Lock
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest
from geofcs.pyramid import Pyramid
from geofcs.records import lasting
from geofcs.strips import has_sound_strip
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.vector import write
from geofcs.vector.check import check_closed, check_pages
from tests.torture.forks import Stages

TIMED: tuple[tuple[Any, Callable[..., Any]], ...] = (
    (strips, strips._checksums), (strips, sync), (blocks, has_sound_strip), (storage, storage._check),
    (Pyramid, Pyramid.check_header), (TileRow, TileRow.check), (raster, sync), (raster, lasting), (run, lasting),
    (write, check_pages), (write, check_closed), (durable, sync), (Lock, Lock.check),
    (Journal, Journal.settle), (Journal, Journal.begin), (Journal, Journal.completed), (Journal, Journal.finish),
    (Journal, Journal.complete), (Journal, Journal.publish),
)  # fmt: skip
"""Each function where it is looked up; `tests/torture/test_overhead.py` sees that a run calls all of them."""


def name_of(owner: Any, function: Callable[..., Any]) -> str:
    """Where it is looked up, and what it is called."""
    return f"{owner.__name__.removeprefix('geofcs.')}.{function.__name__}"


class Stopwatch:
    """Seconds spent within functions, those that they call counted once."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inside = threading.local()

    def timing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "now", False):
                return function(*arguments, **named)
            self._inside.now, began = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] += time.perf_counter() - began
                self._inside.now = False

        return timed


@dataclass(frozen=True)
class Spent:
    """Seconds of a whole run, and of it within each of what is timed."""

    whole: float
    within: dict[str, float]

    @property
    def share(self) -> float:
        """Of all that is timed together."""
        return sum(self.within.values()) / self.whole


def spent_in(folder: Path, size: int, tile: int = 512) -> Spent:
    """Run on made-up scenes of so many pixels a side, with all four rasters and polygons."""
    watch = Stopwatch()
    write_scenes(folder, SceneParameters(seed=1), Extent(size, size))
    config = pico(classes=SECOND.count)
    save_weights(folder / "w.safetensors", build(config, seed=0), config, SECOND, tile=tile, trained="not trained")
    request = DetectRequest(
        str(folder / "t1.tif"), str(folder / "t2.tif"), folder / "out", folder / "w.safetensors",
        workers=1, worker_kind="threads", landcover=True,
    )  # fmt: skip
    with ExitStack() as stack, Path(os.devnull).open("wb") as nowhere:
        for owner, function in TIMED:
            timed = watch.timing(name_of(owner, function), function)
            stack.enter_context(mock.patch.object(owner, function.__name__, timed))
        began = time.perf_counter()
        detect.detect(request, Stages(nowhere.fileno()))
        return Spent(time.perf_counter() - began, dict(watch.seconds))


def main(size: int) -> None:
    """Run, and print the shares."""
    with tempfile.TemporaryDirectory(prefix="geofcs-overhead-") as name:
        spent = spent_in(Path(name), size)
    for name, seconds in sorted(spent.within.items(), key=itemgetter(1), reverse=True):
        sys.stdout.write(f"{name:26s} {seconds:8.3f} s {seconds / spent.whole:7.2%}\n")
    sys.stdout.write(f"together {sum(spent.within.values()):.2f} s of {spent.whole:.1f} s: {spent.share:.2%}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2048)
