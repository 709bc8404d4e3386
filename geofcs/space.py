"""Room on a disk: what a run may need at worst, what is free, and one line that says both when it runs out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from geofcs.errors import LostLockError, OutputError

DEFLATE_AT_BEST = 1032
"""No deflate stream holds more than so many bytes in one (zlib, "Maximum Compression Factor")."""

PYRAMID = 4 / 3
"""A raster with its overviews, each of a quarter of the pixels, against the raster alone."""

POLYGON_BYTES = 500
"""What a polygon takes in a GeoPackage: 386 bytes measured for squares of one pixel, their entry in the index and their
attributes included; larger ones have more corners, but there are fewer of them."""

RUN_PER_STRIPS = 6
"""A whole run against its strips: they are kept while rasters, their overviews and polygons are made of them."""


SECONDS_BETWEEN_LOOKS = 1.0
"""At what is free, while a run goes on."""

MOST_OF_THE_TIME = 0.01
"""What looking may take of it: to ask a network for the sizes of thousands of strips takes seconds."""


@dataclass(frozen=True)
class Space:
    """The disk that a run writes to.

    `strips` and `rasters` are bytes without compression; `polygons` is how many there may be; `pieces` says in how
    many strips the work comes.
    """

    staging: Path
    strips: int
    rasters: int
    polygons: int
    pieces: int

    @property
    def at_most(self) -> int:
        """Bytes that the run takes if nothing can be compressed; rasters are there as loose tiles first."""
        return self.strips + int(2 * self.rasters * PYRAMID) + self.polygons * POLYGON_BYTES

    @property
    def at_least(self) -> int:
        """Bytes that the rasters take even if everything is the same colour; strips may take hardly any."""
        return int(self.rasters * PYRAMID) // DEFLATE_AT_BEST

    def check(self) -> str:
        """A sentence on what is needed and what is free. Raises `OutputError` where not even the least is free."""
        free, used = free_bytes(self.staging), self._used()
        if free + used < self.at_least:
            raise OutputError(
                f"{self.staging}: {told(free)} free on this disk, the run needs {told(self.at_least - used)} more at "
                f"least, and {told(self.at_most - used)} at worst: free some space or choose another -o"
            )
        short = ": if the disk fills up, free some and give the same command again" if free < self.at_most else ""
        return f"{told(self.at_most)} of disk at worst, {told(free)} free{short}"

    def check_rasters(self) -> None:
        """Raise `OutputError` where the rasters have less room than the strips took so far, or than the least.

        They hold the same pixels, twice for a while: as loose tiles, which may be there already, and as files.
        """
        rasters = _bytes(self.staging.glob("*.tif"))
        missing = max(_bytes(self._strips()), self.at_least) - rasters - free_bytes(self.staging)
        if missing > 0:
            raise OutputError(
                f"{self.staging}: no room for the rasters, {told(missing)} missing at least: free some space and give "
                "the same command again"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add to an `OutputError` from within how much is free and how much is needed, where that may be the reason."""
        try:
            yield
        except LostLockError:
            raise
        except OutputError as error:
            raise OutputError(f"{error} ({told(free_bytes(self.staging))} free, {self._needed()})") from error

    def _needed(self) -> str:
        """What is still needed, by what the finished strips took and at worst."""
        done = [path.stat().st_size for path in self._strips()]
        worst = f"{told(max(0, self.at_most - self._used()))} more needed at worst"
        if not done:
            return worst
        about = sum(done) * self.pieces / len(done) * RUN_PER_STRIPS - self._used()
        return f"about {told(max(int(about), self.at_least))} more needed going by what is finished, {worst}"

    def _strips(self) -> Iterator[Path]:
        """Those that are finished."""
        return self.staging.glob("strips/*/*.tif")

    def _used(self) -> int:
        return _bytes(path for path in self.staging.rglob("*") if path.is_file())


class NowAndThen:
    """Has a look, but no more often than once a second, and rather seldom where looking takes long."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look, self._next = look, time.monotonic()

    def __call__(self) -> None:
        """Look, if it is time."""
        began = time.monotonic()
        if began >= self._next:
            self._look()
            took = time.monotonic() - began
            self._next = began + max(SECONDS_BETWEEN_LOOKS, took / MOST_OF_THE_TIME)


def _bytes(files: Iterable[Path]) -> int:
    """What files take; workers that were left to themselves may still delete some."""
    total = 0
    for path in files:
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise `OutputError` where less is free on the disk of `folder` than is needed for something."""
    free = free_bytes(folder)
    if free < needed:
        raise OutputError(
            f"{folder}: no room for {what}: {told(needed)} needed, {told(free)} free on this disk, "
            f"{told(needed - free)} missing"
        )


def free_bytes(folder: Path) -> int:
    """Bytes that may be written to the disk that `folder` lies on, or would."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(existing).free


def told(count: int) -> str:
    """A number of bytes for people."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
