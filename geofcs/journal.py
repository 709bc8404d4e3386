"""The staging folder OUT.partial: the plan it belongs to, what is finished in it, resuming, the rename that publishes.

All of it happens under the output's lock. Whenever power or the process goes, no more is lost than work under way:

    OUT.partial/plan.json        first: a folder with a plan is a run that can be taken up
    OUT.partial/strips/PLAN/     one checked file per strip; in a folder of their own per plan, so that a worker that
                                 outlives its run can never put a strip among those of another plan
    OUT.partial/finished.json    which products are complete and checked, with their SHA-256
    OUT.partial/run.json         last: everything is complete and on the disk
    OUT.partial -> OUT           publication; an output that is replaced is OUT.replaced-* for that one rename
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofcs.durable import sync
from geofcs.errors import InputError, OutputError
from geofcs.records import (
    Described,
    Plan,
    differences,
    fingerprint,
    is_as_described,
    read_json,
    read_sealed,
    sealed,
    write_json,
)

RUN_FILE = "run.json"
PLAN_FILE = "plan.json"
FINISHED_FILE = "finished.json"
STRIP_FOLDER = "strips"

ORPHAN = re.compile(r"\.?(change|probability|landcover_t[12]|changes|plan|run|finished)\.(tif|gpkg|json)\b.*")
"""Names in a staging folder that are geofcs' own: the files themselves, and what killed writers leave beside them."""

REPLACED, DISCARDED = "replaced", "discarded"
"""What folders set aside are called: an output while its successor takes its name, and whatever is being deleted, so
that half of it is never taken for a run."""

PARTIAL = ".partial"


@dataclass(frozen=True)
class Journal:
    """An output folder and the staging folder beside it."""

    out: Path

    @property
    def staging(self) -> Path:
        """Where everything lies until it is complete."""
        return self.out.with_name(f"{self.out.name}{PARTIAL}")

    @property
    def is_published(self) -> bool:
        """Whether the output folder holds a complete run."""
        return (self.out / RUN_FILE).exists()

    def strips(self, plan: Plan) -> Path:
        """The folder of a plan's strips."""
        return self.staging / STRIP_FOLDER / fingerprint(plan)[:16]

    def settle(self) -> None:
        """Finish what a run that was killed had begun to move or to delete. Raises `OutputError`."""
        with as_output_error(self.out):
            for path in self._set_aside(REPLACED):
                if self.out.exists():
                    self._discard(path)
                else:
                    path.rename(self.out)
            for path in self._set_aside(DISCARDED):
                shutil.rmtree(path)

    def check_free(self, inputs: Sequence[Path], overwrite: bool) -> None:
        """Refuse an output that exists, that is or holds an input, or whose name is taken; cheap, so done first.

        Raises `OutputError`.
        """
        if self.out.suffix == PARTIAL:
            raise OutputError(f"{self.out}: names ending in {PARTIAL} are those of unfinished runs: choose another -o")
        for source in inputs:
            for folder in (self.out, self.staging):
                if Path(os.path.realpath(source)).is_relative_to(folder.resolve()):  # loops of links are told elsewhere
                    raise OutputError(f"{folder}: holds the input {source.name}: choose another folder with -o")
        if self.is_published and not overwrite:
            raise OutputError(f"{self.out}: is a finished output: add --overwrite to replace it, or choose another -o")
        if self.out.exists() and not self.is_published and not _is_empty_folder(self.out):
            raise OutputError(f"{self.out}: exists and is not an output of geofcs: choose another folder with -o")
        if self.out.is_mount():
            raise OutputError(f"{self.out}: is where a disk is mounted: name a folder in it with -o")
        if self.staging.exists() and not _is_begun(self.staging):
            raise OutputError(f"{self.staging}: exists and is not an unfinished run of geofcs: move it away")

    def begin(self, plan: Plan, restart: bool) -> bool:
        """Make the staging folder for `plan`, or take up the one that is there; returns whether there was one.

        Raises `InputError` if an unfinished run of another plan is there, saying what differs.
        """
        begun = None if restart else self._begun_plan()
        different = [] if begun is None else differences(begun, plan)
        if different:
            raise InputError(
                f"{self.staging}: is an unfinished run of another plan ({'; '.join(different)}): "
                f"repeat that command to finish it, or add --restart to begin anew"
            )
        with as_output_error(self.staging):
            if begun is None:
                self.discard()
                self.staging.mkdir(parents=True)
                write_json(self.staging / PLAN_FILE, plan)
                sync(self.staging.parent)
            self._clear_orphans(plan)
            self.strips(plan).mkdir(parents=True, exist_ok=True)
        return begun is not None

    def _begun_plan(self) -> Plan | None:
        """The plan of an unfinished run; None if there is no such run or it had not got as far as a plan."""
        for name, key in ((PLAN_FILE, None), (RUN_FILE, "plan")):
            path = self.staging / name
            if path.exists():
                content = read_json(path)
                return content if key is None else dict(content.get(key, {}))
        return None

    def _clear_orphans(self, plan: Plan) -> None:
        """Delete what killed writers left: everything of ours but the plan, its strips and what is finished."""
        kept = {PLAN_FILE, RUN_FILE, FINISHED_FILE, *self.finished()}
        for path in self.staging.iterdir():
            if path.name not in kept and ORPHAN.fullmatch(path.name):
                _delete(path)
        strips = self.strips(plan)
        for path in [*_in(strips.parent), *_in(strips)]:
            if path != strips and path.suffix != ".tif":
                _delete(path)

    def finished(self) -> Described:
        """The products that are complete, checked and on the disk."""
        for name, key in ((FINISHED_FILE, None), (RUN_FILE, "outputs")):
            path = self.staging / name
            if path.exists():
                with contextlib.suppress(InputError):
                    content = read_json(path)
                    return content if key is None else dict(content.get(key, {}))
        return {}

    def is_finished(self, names: Sequence[str]) -> bool:
        """Whether all these products are finished and to the last bit what they were."""
        finished = self.finished()
        return all(name in finished and is_as_described(self.staging / name, finished[name]) for name in names)

    def finish(self, products: Described) -> None:
        """Note products that are finished, and on the disk. Raises `OutputError`."""
        with as_output_error(self.staging):
            write_json(self.staging / FINISHED_FILE, {**self.finished(), **products})

    def complete(self, run: dict[str, Any]) -> dict[str, Any]:
        """Write run.json, after which only publication is left, and return what it holds. Raises `OutputError`."""
        run = sealed({**run, "outputs": self.finished()})
        with as_output_error(self.staging):
            write_json(self.staging / RUN_FILE, run)
        return run

    def completed(self, polygons: dict[str, Any]) -> dict[str, Any] | None:
        """The record of a run that only has to be published; None if there is none, or anything of it is damaged.

        `polygons` are the options that decide the polygons; they are no part of the plan. A record that cannot be
        published is deleted, so that the run goes on from what else there is.
        """
        path = self.staging / RUN_FILE
        if not path.exists():
            return None
        with contextlib.suppress(InputError):
            run = read_sealed(path)
            outputs: Described = run["outputs"]
            whole = all(is_as_described(self.staging / name, described) for name, described in outputs.items())
            if whole and run["polygons"] == polygons:
                return run
        with as_output_error(self.staging):
            write_json(self.staging / PLAN_FILE, self._begun_plan() or {})
            write_json(self.staging / FINISHED_FILE, self.finished())
            path.unlink()
        return None

    def discard(self) -> None:
        """Delete the staging folder."""
        if self.staging.exists():
            self._discard(self.staging)

    def _discard(self, folder: Path) -> None:
        shutil.rmtree(folder.rename(self._aside(DISCARDED)))

    def _aside(self, kind: str) -> Path:
        return self.out.with_name(f"{self.out.name}.{kind}-{uuid.uuid4().hex}")

    def _set_aside(self, kind: str) -> list[Path]:
        ours = re.compile(re.escape(f"{self.out.name}.{kind}-") + "[0-9a-f]{32}")
        return [path for path in _in(self.out.parent) if ours.fullmatch(path.name)]

    def publish(self) -> None:
        """Drop the strips and the plan, and rename the staging folder to the output's name.

        A complete output that is being replaced stays until the rename; then it is deleted. Raises `OutputError`.
        """
        with as_output_error(self.out):
            if (self.staging / STRIP_FOLDER).exists():
                self._discard(self.staging / STRIP_FOLDER)
            for name in (FINISHED_FILE, PLAN_FILE):
                (self.staging / name).unlink(missing_ok=True)
            sync(self.staging)
            if self.is_published:
                self.out.rename(self._aside(REPLACED))
            elif self.out.exists():
                self.out.rmdir()
            self.staging.rename(self.out)
            sync(self.out.parent)
            self.settle()


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _is_begun(staging: Path) -> bool:
    """Whether a folder has a plan, or nothing but what `begin` makes before it writes the plan."""
    if not staging.is_dir():
        return False
    names = {path.name for path in staging.iterdir()}
    return not names.isdisjoint({PLAN_FILE, RUN_FILE}) or names <= {f".{PLAN_FILE}.unfinished"}


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn what the system says into an `OutputError` with a cure."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot write: {error.strerror or error}; free some space, or change what is in the way, and give "
            "the same command again"
        ) from error
