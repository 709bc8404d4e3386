"""What verification and the journal cost: their share of the time of one run with an untrained `pico`.

    python -m tests.torture.overhead [SIZE]

Everything that would not be needed if nothing ever failed is timed while it runs: checksums, waiting for the disk,
decoding what was compressed, reading rasters back, checking the GeoPackage, lock and journal. (SHA-256 of the rasters,
on their way to the disk, is not: a hundredth of a second here.)
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Any
from unittest import mock

from geofcs import blocks, detect, durable, raster, run, storage, strips
from geofcs.classes import SECOND
from geofcs.cog import TileRow
from geofcs.journal import Journal
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest
from geofcs.pyramid import Pyramid
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.vector import write
from tests.torture.forks import Stages

TIMED: list[tuple[Any, str]] = [
    (strips, "_checksums"), (strips, "sync"), (strips, "_holds_what_was_written"),
    (blocks, "has_sound_strip"), (storage, "_check"), (Pyramid, "check_header"), (TileRow, "check"),
    (raster, "sync"), (raster, "lasting"), (run, "lasting"), (write, "check_pages"), (durable, "sync"),
    *((Journal, name) for name in ("settle", "begin", "completed", "is_finished", "finish", "complete", "publish")),
]  # fmt: skip


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


def main(size: int) -> None:
    """Run, and print the shares."""
    with tempfile.TemporaryDirectory(prefix="geofcs-overhead-") as name, ExitStack() as stack:
        folder, watch = Path(name), Stopwatch()
        write_scenes(folder, SceneParameters(seed=1), Extent(size, size))
        config = pico(classes=SECOND.count)
        save_weights(folder / "w.safetensors", build(config, seed=0), config, SECOND, tile=512, trained="not trained")
        for owner, attribute in TIMED:
            timed = watch.timing(attribute, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, timed))
        request = DetectRequest(
            str(folder / "t1.tif"), str(folder / "t2.tif"), folder / "out", folder / "w.safetensors",
            workers=1, worker_kind="threads", landcover=True,
        )  # fmt: skip
        with Path("/dev/null").open("wb") as nowhere:
            began = time.perf_counter()
            detect.detect(request, Stages(nowhere.fileno()))
            whole = time.perf_counter() - began
    for name, seconds in sorted(watch.seconds.items(), key=itemgetter(1), reverse=True):
        sys.stdout.write(f"{name:16s} {seconds:8.3f} s {seconds / whole:7.2%}\n")
    spent = sum(watch.seconds.values())
    sys.stdout.write(f"together {spent:.2f} s of {whole:.1f} s: {spent / whole:.2%}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2048)
