"""Where a run can be taken up again: one safetensors file with every number, one JSON file that says which one counts.

`last.json` names the state that is whole. A new state is written beside the old one, made to last, and takes over when
`last.json` is renamed into place; only then is the old one deleted. So whenever the process dies, or the disk is full,
the last whole state is there.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from geofcs.errors import InputError, OutputError

FORMAT = 1
"""The version of the state that this code writes, and the newest it reads."""

STATE, LAST = "state", "last.json"
"""The folder in a run's, and the file in it that names the whole state."""

Facts = dict[str, Any]
"""What JSON can hold of a state."""


@dataclass(frozen=True)
class Checkpoints:
    """The folder that a run keeps its state in."""

    folder: Path

    @property
    def exist(self) -> bool:
        """Whether there is a state to take up."""
        return (self.folder / LAST).exists()

    def save(self, iteration: int, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Replace the state by this one, whole or not at all. Raises `OutputError`; the old state is then intact."""
        name = f"state-{iteration:08d}.safetensors"
        with _as_output_error(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_tensors(self.folder / name, tensors)
            _write_json(self.folder / LAST, {"format": FORMAT, "tensors": name, "iteration": iteration, **facts})
            for other in [*self.folder.glob("state-*.safetensors"), *self.folder.glob(".*.unfinished")]:
                if other.name != name:
                    other.unlink()

    @property
    def iteration(self) -> int | None:
        """After which iteration the state was saved; None where there is none that can be read."""
        try:
            return int(json.loads((self.folder / LAST).read_text(encoding="utf-8"))["iteration"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def load(self) -> tuple[dict[str, Tensor], Facts]:
        """The last state that is whole, on the CPU. Raises `InputError` if there is none or it cannot be read."""
        path = self.folder / LAST
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            if facts["format"] > FORMAT:
                raise InputError(f"{path}: was written by a newer geofcs (format {facts['format']}): update geofcs")
            return load_file(self.folder / facts["tensors"]), facts
        except FileNotFoundError as error:
            raise InputError(f"{error.filename or path}: there is no state of a run to go on from") from None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{path}: the state of this run cannot be read: {error}") from error


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, unfinished)
        _rename(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_json(path: Path, content: Facts) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        _rename(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _rename(unfinished: Path, path: Path) -> None:
    """Put a file under its name once its bytes are on the disk."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


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
