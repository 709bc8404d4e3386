"""The staging folder OUT.partial: the plan it belongs to, its strips, resuming, and the rename that publishes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofcs.errors import InputError, OutputError
from geofcs.strips import sync

RUN_FILE = "run.json"
PLAN_FILE = "plan.json"
STRIP_FOLDER = "strips"

Plan = dict[str, Any]
"""Everything that decides the rasters' bytes, as JSON."""


@dataclass(frozen=True)
class Journal:
    """An output folder and the staging folder beside it."""

    out: Path

    @property
    def staging(self) -> Path:
        """Where everything lies until it is complete."""
        return self.out.with_name(f"{self.out.name}.partial")

    @property
    def replaced(self) -> Path:
        """Where a complete output waits while the one that replaces it is put in its place."""
        return self.out.with_name(f"{self.out.name}.replaced")

    @property
    def strips(self) -> Path:
        """The folder of strips."""
        return self.staging / STRIP_FOLDER

    @property
    def is_published(self) -> bool:
        """Whether the output folder holds a complete run."""
        return (self.out / RUN_FILE).exists()

    @property
    def is_complete(self) -> bool:
        """Whether the staging folder holds a complete run that only has to be published."""
        return (self.staging / RUN_FILE).exists()

    def check_free(self, inputs: list[Path], overwrite: bool) -> None:
        """Refuse an output that exists, that is or holds an input, or that cannot be written; cheap, so done first.

        Raises `OutputError`.
        """
        for source in inputs:
            if source.resolve().is_relative_to(self.out.resolve()):
                raise OutputError(f"{self.out}: holds the input {source.name}: choose another folder with -o")
        if self.is_published and not overwrite:
            raise OutputError(f"{self.out}: is a finished output: add --overwrite to replace it, or choose another -o")
        if self.out.exists() and not self.is_published and not _is_empty_folder(self.out):
            raise OutputError(f"{self.out}: exists and is not an output of geofcs: choose another folder with -o")
        _check_writable(self.out.parent)

    def begin(self, plan: Plan, restart: bool) -> bool:
        """Make the staging folder for `plan`, or take up the one that is there; returns whether there was one.

        Raises `InputError` if an unfinished run of another plan is there, saying what differs.
        """
        if self.replaced.exists() and not self.out.exists():
            self.replaced.rename(self.out)
        begun = self._begun_plan()
        if begun is not None and not restart:
            different = differences(begun, plan)
            if different:
                raise InputError(
                    f"{self.staging}: is an unfinished run of another plan ({'; '.join(different)}): "
                    f"repeat that command to finish it, or add --restart to begin anew"
                )
            return True
        with _as_output_error(self.staging):
            if self.staging.exists():
                shutil.rmtree(self.staging)
            self.strips.mkdir(parents=True)
            write_json(self.staging / PLAN_FILE, plan)
        return False

    def _begun_plan(self) -> Plan | None:
        """The plan of an unfinished run; None if there is no such run or it had not got as far as a plan."""
        for name, key in ((PLAN_FILE, None), (RUN_FILE, "plan")):
            path = self.staging / name
            if path.exists():
                content = json.loads(path.read_text(encoding="utf-8"))
                return dict(content if key is None else content[key])
        if self.staging.exists() and not _is_ours(self.staging):
            raise OutputError(f"{self.staging}: exists and is not an unfinished run of geofcs: move it away")
        return None

    def read_run(self) -> dict[str, Any]:
        """The content of the published run.json."""
        return dict(json.loads((self.out / RUN_FILE).read_text(encoding="utf-8")))

    def discard(self) -> None:
        """Delete the staging folder: there is nothing in it that a later run could use."""
        shutil.rmtree(self.staging)

    def publish(self) -> None:
        """Drop the strips and the plan, and rename the staging folder to the output's name.

        A complete output that is being replaced stays until the rename; then it is deleted.
        """
        with _as_output_error(self.out):
            shutil.rmtree(self.strips, ignore_errors=True)
            (self.staging / PLAN_FILE).unlink(missing_ok=True)
            if self.replaced.exists():
                shutil.rmtree(self.replaced)
            if self.is_published:
                self.out.rename(self.replaced)
            elif self.out.exists():
                self.out.rmdir()
            self.staging.rename(self.out)
            _sync_folder(self.out.parent)
            shutil.rmtree(self.replaced, ignore_errors=True)


def differences(before: Plan, now: Plan, prefix: str = "") -> list[str]:
    """What differs between two plans, each as `key: old, now new`."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {_brief(old)}, now {_brief(new)}")
    return found


def fingerprint(plan: Plan) -> str:
    """SHA-256 of a plan: equal plans give equal rasters."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that the file appears complete or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sync(temporary)
    temporary.replace(path)


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _is_ours(staging: Path) -> bool:
    """Whether a staging folder without a plan holds nothing but what `begin` makes before it writes the plan."""
    return staging.is_dir() and {path.name for path in staging.iterdir()} <= {STRIP_FOLDER, f"{PLAN_FILE}.tmp"}


def _check_writable(folder: Path) -> None:
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    if not existing.is_dir():
        raise OutputError(f"{existing}: is a file where the output's folder should be: choose another -o")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{existing}: is not writable: choose another folder with -o")


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last, where the system lets folders be opened for that (not on Windows)."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot write: {error.strerror or error}; free or change what is in the way"
        ) from error
