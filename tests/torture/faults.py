"""The faults that are inflicted, how often each has to be, and what became of it: told in one form by all."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

FILE = "GEOFCS_TORTURE"
"""The variable that names the file into which what happened is told; without it nobody listens."""

WRONG = "wrong"
"""How no fault must end: an output or a state that is torn, lost or other than it has to be, or no end at all."""

LARGE_ENOUGH, LEFT_OUT = "large enough", "left out"
"""Ends of what was no fault after all: they do not count."""

START, PUBLISH = "start", "publish"
"""What a run is doing before the first stage that it tells of, and once run.json is about to be written."""

STAGES = (START, "tiles", "rasters", "polygons", PUBLISH)

OUTPUTS = (
    *("change.tif", "probability.tif", "landcover_t1.tif", "landcover_t2.tif", "changes.gpkg", "run.json"),
    *(f"{name}.tif.aux.xml" for name in ("change", "landcover_t1", "landcover_t2")),
)


@dataclass(frozen=True)
class Fault:
    """What is done, how often it has to be, and how that has to end now and then; it may end otherwise, too."""

    name: str
    least: int
    ends: tuple[str, ...] = ()

    def missing(self, ended: Mapping[str, int]) -> list[str]:
        """What it lacks, or what was wrong, in sentences."""
        count, wrong = counted(ended), ended.get(WRONG, 0)
        rare = [f"{self.name}: {count} instead of {self.least}"] if count < self.least else []
        never = [f"{self.name}: never ended in {end!r}" for end in self.ends if not ended.get(end)]
        return [*rare, *never, *([f"{self.name}: {wrong} wrong"] if wrong else [])]


def counted(ended: Mapping[str, int]) -> int:
    """How often it was done, and all was well in the end."""
    return sum(count for end, count in ended.items() if end not in (WRONG, LARGE_ENOUGH, LEFT_OUT))


KILLS = Fault("kill -9 at a random moment", 300, STAGES)
STEPS = Fault("kill -9 just before a change to the file system", 80, STAGES)
DISKS = Fault("disk that has no more bytes, or no more files", 60, ("tiles", "rasters", "polygons"))
LIMITS = Fault("files that cannot become larger", 15, ("rasters", "polygons"))
STARTS = Fault("five starts at once on one output", 200, ("done", "refused", "killed"))
STATE_KILLS = Fault("kill -9 while training states are saved", 120)
STATE_DAMAGE = Fault("last training state damaged", 20, ("the one before taken",))
STATE_DISKS = Fault("disk full while training states are saved", 20)
CUTS = Fault("file of a finished output cut short, found by `geofcs verify`", 20 * len(OUTPUTS), OUTPUTS)
FLIPS = Fault("bit of a finished output turned over, found by `geofcs verify`", 100 * len(OUTPUTS), OUTPUTS)
REMOTE_READS = Fault("remote read of a pair while requests fail", 3000, ("right", "refused"))
REMOTE_FAULTS = Fault("request that failed for these", 3000)
LOST_WORKERS = Fault("distributed run during which workers were killed", 10)
BAD_INPUT = Fault("command with bad input: one line, its exit code, nothing left behind", 120)
DAMAGED_TIFFS = Fault("damaged GeoTIFF, read in 3 GiB of address space", 10_000, ("read", "InputError", "SourceError"))
JOURNALS = Fault("journal in a random order of commands, deaths and damage (hypothesis)", 500)
COMMANDS = Fault("command in these orders", 3000, ("done", "killed", "refused"))
LATTICES = Fault("random lattice (hypothesis)", 2000)
ALIGNMENTS = Fault("random pair of grids (hypothesis)", 2000)
POLYGONS = Fault("random raster as polygons (hypothesis)", 2000)
ENDED = Fault("lane of runs, or test, that came to its end", 200, ("lanes", "tests"))

OF_RUNS = (KILLS, STEPS, DISKS, LIMITS, STARTS, STATE_KILLS, STATE_DAMAGE, STATE_DISKS, CUTS, FLIPS)
OF_TESTS = (
    *(REMOTE_READS, REMOTE_FAULTS, LOST_WORKERS, BAD_INPUT, DAMAGED_TIFFS),
    *(JOURNALS, COMMANDS, LATTICES, ALIGNMENTS, POLYGONS),
)
ON_DISKS = (DISKS, STATE_DISKS)
"""Those for which a disk must be mounted."""


def now_and_then(fault: Fault) -> Fault:
    """The same, once and in whatever way."""
    return replace(fault, least=1, ends=())


def tell(fault: Fault, ended: Mapping[str, int]) -> None:
    """Add to how often a fault ended how."""
    if FILE in os.environ:
        with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps([fault.name, dict(ended)]) + "\n")


def told(file: Path) -> dict[str, Counter[str]]:
    """By the fault's name, how often it ended how."""
    total: dict[str, Counter[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, ended = json.loads(line)
        total.setdefault(name, Counter()).update(ended)
    return total
