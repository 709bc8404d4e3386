"""Training states: processes that save one after another are killed or run out of disk; no torn one is ever loaded."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import torch
from torch import Tensor

from geofcs.errors import InputError, OutputError
from geofcs.training.checkpoint import Checkpoints
from tests.torture.disks import PLENTY, can_mount, small_disk
from tests.torture.faults import LARGE_ENOUGH, START, STATE_DAMAGE, STATE_DISKS, STATE_KILLS, tell
from tests.torture.forks import KILLED, Fork, Stages

ENOUGH = 5
"""States that a disk is large enough for, with the one before kept."""


def tensors_after(iteration: int) -> dict[str, Tensor]:
    """A state of half a megabyte that could be no other iteration's."""
    return {f"layer{part}": torch.full((32_000,), float(iteration * 10 + part)) for part in range(4)}


def check_loads(folder: Path, at_least: int) -> int:
    """The state that is loaded is one that was saved, whole, and no older than the last that was told of."""
    tensors, facts = Checkpoints(folder).load()
    iteration = int(facts["iteration"])
    assert iteration >= at_least
    assert tensors.keys() == tensors_after(iteration).keys()
    assert all(torch.equal(tensors[name], wanted) for name, wanted in tensors_after(iteration).items())
    return iteration


def kill_while_saving(folder: Path, kills: int, seed: int) -> None:
    """Kill a process that saves state after state, at random moments; sometimes damage the last state as well."""
    dice, done = random.Random(seed), 0
    shutil.rmtree(folder, ignore_errors=True)
    states = folder / "state"
    folder.mkdir()
    for _ in range(kills):

        def save(stages: Stages, first: int = done + 1) -> None:
            for iteration in range(first, first + 10_000):
                Checkpoints(states).save(iteration, tensors_after(iteration), {})
                stages.stage(str(iteration), 0, "", 0)

        fork = Fork(save, folder / "stderr")
        fork.wait_for_stage(str(done + 2))
        time.sleep(dice.uniform(0, 0.1))
        fork.kill()
        ended = fork.ended()
        assert ended.code == KILLED, ended
        assert ended.stage != START
        done = check_loads(states, at_least=int(ended.stage))
        tell(STATE_KILLS, {"loaded again": 1})
        if dice.random() < 0.3:
            _damage_last(states, dice)
            done = check_loads(states, at_least=done - 1)
            tell(STATE_DAMAGE, {"the one before taken": 1})


def _damage_last(states: Path, dice: random.Random) -> None:
    path = dice.choice([states / "last.json", max(states.glob("state-*.safetensors"))])
    content = path.read_bytes()
    bit = dice.randrange(8 * len(content))
    flipped = content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]
    path.write_bytes(dice.choice([flipped, content[: bit // 8]]))


def fill_with_state(folder: Path, share: float) -> None:
    """Save states on a small disk until one does not fit: that one is refused in one line, the one before stays."""
    disk = folder / "disk"
    if not can_mount(disk):
        return
    with small_disk(disk, f"size={int(share * 2_000_000)}"):
        saved = _save_until_full(disk / "state")
        if saved:
            assert check_loads(disk / "state", saved) == saved
        subprocess.run(["mount", "-o", f"remount,size={PLENTY}", disk], check=True, capture_output=True)
        Checkpoints(disk / "state").save(saved + 1, tensors_after(saved + 1), {})
        check_loads(disk / "state", saved + 1)
    tell(STATE_DISKS, {"refused" if saved < ENOUGH else LARGE_ENOUGH: 1})


def _save_until_full(states: Path) -> int:
    """How many states were saved before the disk was full."""
    for iteration in range(1, ENOUGH + 1):
        try:
            Checkpoints(states).save(iteration, tensors_after(iteration), {})
        except OutputError as error:
            assert "\n" not in str(error)
            assert "No space left" in str(error) or "free on this disk" in str(error), error
            if iteration == 1:
                assert not _loads(states)
            return iteration - 1
    return ENOUGH


def _loads(states: Path) -> bool:
    try:
        Checkpoints(states).load()
    except InputError:
        return False
    return True
