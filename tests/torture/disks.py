"""Runs on disks that fill up: every one ends with exit code 5 and one line, and goes on when there is room."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geofcs.errors import OutputError
from tests.torture.faults import DISKS, LARGE_ENOUGH, LIMITS, tell
from tests.torture.forks import Stages
from tests.torture.kills import Bench
from tests.torture.runs import content_of

PLENTY = "256m"

LINE = re.compile(r"(_tiff\w+: .*\n)*geofcs: .*(No space|make room|free some|free space|free on this disk).*\n")
"""One line, which says what is the matter and what helps. (GDAL's TIFF library may say that it could not write.)"""

NEEDED = re.compile(r"free.*needed|needs .* more at least|nothing can be written beside it")


def can_mount(folder: Path) -> bool:
    """Whether this process may mount disks (as root, or below `unshare --map-root-user --mount`)."""
    folder.mkdir(exist_ok=True)
    try:
        with small_disk(folder, "size=64k"):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A disk in memory at `folder`."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "geofcs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill_disks(bench: Bench, cases: Iterable[int], of: int) -> None:
    """Some of so many disks, from nothing to more than enough: too few bytes, too few files, too small files.

    Tells the stages in which a disk was full. Where disks cannot be mounted, there are cases of the last kind only.
    """
    mounts = can_mount(bench.folder / "disk")
    for case in cases:
        share = (case * 37 % of + 0.5) / of  # 37: neighbours in number are far apart in size
        if case % 4 == 3:
            tell(LIMITS, {_with_small_files(bench, int(share * 420_000)): 1})
        elif mounts and case % 4 == 2:
            tell(DISKS, {_on_disk(bench, f"size={PLENTY},nr_inodes={2 + int(share * 28)}", overwrite=False): 1})
        elif mounts:
            tell(DISKS, {_on_disk(bench, f"size={int(share * 1_100_000)}", overwrite=case % 4 == 1): 1})


def _on_disk(bench: Bench, options: str, *, overwrite: bool) -> str:
    """A disk that lacks bytes or inodes; `overwrite`: an older output is to be replaced, and must stay.

    Returns the stage in which it was full.
    """
    disk = bench.folder / "disk"
    with small_disk(disk, f"size={PLENTY}"):
        if overwrite:
            shutil.copytree(bench.undisturbed, disk / "out")
            (disk / "out" / "old").touch()
            options = f"size={int(options.removeprefix('size=')) + _bytes_in(disk)}"
        subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True, capture_output=True)
        run = bench.run(disk / "out", overwrite=overwrite)
        ended = bench.start(run).ended()
        if ended.code == 0:
            assert content_of(disk / "out") == bench.expected
            return LARGE_ENOUGH
        _check(ended.code, ended.said)
        assert (disk / "out" / "old").exists() if overwrite else not (disk / "out").exists()
        subprocess.run(["mount", "-o", f"remount,size={PLENTY},nr_inodes=0", disk], check=True, capture_output=True)
        bench.finish(run, disk / "out")
        return ended.stage


def _bytes_in(folder: Path) -> int:
    page = 4096
    return sum(page + -(-path.stat().st_size // page) * page for path in folder.rglob("*") if path.is_file())


def _with_small_files(bench: Bench, size: int) -> str:
    """A limit to the size of files, as quotas and old file systems have; returns the stage that ran into it."""
    out = bench.fresh()
    run = bench.run(out)

    def limited(stages: Stages) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        run(stages)

    ended = bench.start(limited).ended()
    if ended.code == 0:
        assert content_of(out) == bench.expected
        return LARGE_ENOUGH
    _check(ended.code, ended.said)
    assert not out.exists()
    bench.finish(run, out)
    return ended.stage


def _check(code: int, said: str) -> None:
    assert code == OutputError.exit_code, said
    assert LINE.fullmatch(said), said
    assert NEEDED.search(said), said
