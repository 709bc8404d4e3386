"""Where a run can be taken up again: safetensors files with every number, and JSON files that say which one counts.

`last.json` names the state that counts, with its SHA-256, and `previous.json` the one before. A new state is written
beside the old ones, made to last, and takes over when `last.json` is renamed into place; only then is the oldest one
deleted. So whenever the process dies, or the disk is full, the last whole state is there; and where the last one has
been damaged since, the one before it is taken. Only who holds the run's lock may save: what killed processes left goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from geofcs.durable import sha256, written_whole
from geofcs.errors import InputError, OutputError
from geofcs.records import read_sealed, sealed, write_json
from geofcs.space import check_room
from geofcs.training.state import bytes_of

FORMAT = 2
"""The version of the state that this code writes and reads. Version 1 had no hashes."""

STATE, LAST, PREVIOUS = "state", "last.json", "previous.json"
"""The folder in a run's, the file in it that names the state that counts, and the one that names the state before."""

MOST = 3
"""States that there are at most: the last, the one before, and the one that is being written."""

Facts = dict[str, Any]
"""What JSON can hold of a state."""


def _nobody(_sentence: str) -> None:
    pass


@dataclass(frozen=True)
class Checkpoints:
    """The folder that a run keeps its state in."""

    folder: Path

    @property
    def exist(self) -> bool:
        """Whether there is a state to take up."""
        return (self.folder / LAST).exists()

    def save(self, iteration: int, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Add this state, whole or not at all. Raises `OutputError`; the states before it are then intact."""
        name = f"state-{iteration:08d}.safetensors"
        with _as_output_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            check_room(self.folder, bytes_of(tensors.values()), "a state")
            with written_whole(self.folder / name) as unfinished:
                save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, unfinished)
            record = {"format": FORMAT, "tensors": name, "sha256": sha256(self.folder / name), "iteration": iteration}
            kept = {name, self._keep_previous(name)}
            write_json(self.folder / LAST, sealed({**record, **facts}))
            for other in [*self.files, *self.folder.glob(".*.unfinished")]:
                if other.name not in kept:
                    other.unlink()

    @property
    def files(self) -> list[Path]:
        """The tensors of the states that there are."""
        return list(self.folder.glob("state-*.safetensors"))

    @property
    def iteration(self) -> int | None:
        """After which iteration the state was saved; None where there is none that can be read."""
        try:
            return int(read_sealed(self.folder / LAST)["iteration"])
        except InputError:
            return None

    def _keep_previous(self, name: str) -> str:
        """Let what was last become the previous state, unless it is damaged; returns its tensors' name."""
        for each in (LAST, PREVIOUS):
            with contextlib.suppress(InputError):
                record = read_sealed(self.folder / each)
                if record["tensors"] != name:
                    write_json(self.folder / PREVIOUS, record)
                    return str(record["tensors"])
        return name

    def load(self, note: Callable[[str], None] = _nobody) -> tuple[dict[str, Tensor], Facts]:
        """The last state, on the CPU, or the one before if the last is damaged, which `note` is then told.

        Raises `InputError` if there is none that is whole.
        """
        if not self.exist:
            raise InputError(f"{self.folder / LAST}: there is no state of a run to go on from")
        try:
            return self._state(LAST)
        except InputError as error:
            if not (self.folder / PREVIOUS).exists():
                raise
            with contextlib.suppress(InputError):
                tensors, facts = self._state(PREVIOUS)
                note(f"{error}; going on from the state before it, after iteration {facts['iteration']}")
                return tensors, facts
            raise

    def _state(self, name: str) -> tuple[dict[str, Tensor], Facts]:
        """The state that one of the records names, if it is to the last bit what was written."""
        facts = read_sealed(self.folder / name)
        if facts.get("format") != FORMAT:
            raise InputError(
                f"{self.folder / name}: has format {facts.get('format')}, this geofcs reads {FORMAT}: go on with the "
                "geofcs that wrote it"
            )
        path = self.folder / facts["tensors"]
        try:
            if sha256(path) != facts["sha256"]:
                raise InputError(f"{path}: the state of this run is damaged: it is not what was written")
            return load_file(path), facts
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{path}: the state of this run cannot be read: {error}") from error


@contextlib.contextmanager
def _as_output_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{folder}: the state cannot be written: {getattr(error, 'strerror', None) or error}"
        ) from error


def way_on(run: Path, first: str) -> str:
    """The end of a sentence on a failure: how to go on once the user has done what is to be done `first`; "" if not."""
    iteration = Checkpoints(run / STATE).iteration
    if iteration is None:
        return ""
    return f"; the state after iteration {iteration} is safe: {first} geofcs train --resume {run}"
