"""A power cut: what takes a name is on the disk before, and a name that something builds on as well.

Recorded is what whole small runs wait for, rename and delete. After a power cut the disk holds a file as it was when
its content was last waited for, and a folder with the names that it had when these were.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from geofcs.durable import written_whole
from tests.stubs import Silent
from tests.torture.runs import detect_without_model, write_material
from tests.training.runs import run, tiny
from tests.training.test_beginning import BRIEF

State = tuple[int, int, int]


def state_of(found: os.stat_result) -> State:
    """Inode, bytes and nanoseconds of the last change: of a file its content's, of a folder its names'."""
    return found.st_ino, found.st_size, found.st_mtime_ns


@dataclass
class Disk:
    """What is on it, what happened in which order, and what was renamed that was not on it as it then was."""

    lasting: set[State] = field(default_factory=set)
    pending: dict[Path, str] = field(default_factory=dict)
    """The last name that a folder was given, as long as the folder was not waited for since."""
    events: list[tuple[str, str, list[str]]] = field(default_factory=list)
    """"renamed" or "deleted", the name, and which names were pending before."""
    torn: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Those that are pending in folders that are still there."""
        return [name for folder, name in self.pending.items() if folder.exists()]

    def happened(self, what: str) -> dict[str, list[str]]:
        """What was renamed, or deleted, each with what was pending before."""
        return {name: pending for event, name, pending in self.events if event == what}

    def synced(self, found: os.stat_result) -> None:
        self.lasting.add(state_of(found))
        for folder in [each for each in self.pending if each.exists() and os.path.samestat(each.stat(), found)]:
            del self.pending[folder]

    def before_rename(self, source: Path, target: Path) -> None:
        parts = [source, *source.rglob("*")] if source.is_dir() else [source]
        self.torn += [f"{part} -> {target}" for part in parts if state_of(part.stat()) not in self.lasting]
        self.events.append(("renamed", target.name, self.names()))
        self.pending[target.parent] = target.name


@contextmanager
def recorded(below: Path, patch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """What happens in a folder; what is set aside to be deleted matters to nobody."""
    disk, fsync, unlink, one_at_a_time = Disk(), os.fsync, os.unlink, threading.Lock()

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        with one_at_a_time:
            disk.synced(os.fstat(descriptor))

    def deleted(path: Path, *more: object, **options: object) -> None:
        with one_at_a_time:
            disk.events.append(("deleted", Path(path).name, disk.names()))
        unlink(path, *more, **options)  # type: ignore[arg-type]

    with patch.context() as patched:
        patched.setattr(os, "fsync", synced)
        patched.setattr(os, "unlink", deleted)
        for name in ("rename", "replace"):
            original = getattr(os, name)

            def renamed(source: Path, target: Path, original: object = original) -> None:
                if Path(target).is_relative_to(below) and ".discarded-" not in Path(target).name:
                    with one_at_a_time:
                        disk.before_rename(Path(source), Path(target))
                original(source, target)  # type: ignore[operator]

            patched.setattr(os, name, renamed)
        yield disk


def test_a_run_s_strips_and_products_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in ("HEIGHT", "WIDTH"):
        monkeypatch.setattr(f"tests.torture.runs.{side}", 200)
    material = write_material(tmp_path)
    out = tmp_path / "outputs" / "out"
    with recorded(tmp_path, monkeypatch) as disk:
        detect_without_model(material.request(out), Silent(), by_threads=False)
    assert disk.torn == []
    renamed = disk.happened("renamed")
    assert {"plan.json", "00000-00000.tif", "finished.json", "changes.gpkg", "run.json", "out"} <= set(renamed)
    assert list(renamed)[-1] == "out"
    assert renamed["out"] == [], "names in what is published that a power cut would take away"
    assert disk.names() == []


def test_a_training_state_is_on_the_disk_before_it_counts_and_only_then_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded(tmp_path, monkeypatch) as disk:
        run(tiny(*BRIEF), tmp_path / "run")
    assert disk.torn == []
    renamed = disk.happened("renamed")
    assert {"config.yaml", "state-00000003.safetensors", "previous.json", "last.json"} <= set(renamed)
    for name in ("previous.json", "last.json"):
        assert renamed[name] == [], f"{name} would name a state that a power cut takes away"
    assert disk.happened("deleted")["state-00000001.safetensors"] == [], "a power cut would bring back its record"
    assert disk.names() == []


def test_a_file_written_whole_takes_its_place_when_its_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with recorded(tmp_path, monkeypatch) as disk, written_whole(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert (list(disk.happened("renamed")), disk.torn, disk.names()) == (["x"], [], [])
