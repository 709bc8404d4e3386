"""How a run begins: in a folder of its own with a starting model, or in the state that it was saved in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_fabric import Fabric

from geofcs.classes import scheme_from_json
from geofcs.errors import InputError, OutputError
from geofcs.lock import Lock, locked
from geofcs.model.build import ARCHITECTURES, build
from geofcs.model.config import MambaFCSConfig
from geofcs.space import check_room
from geofcs.training.checkpoint import MOST, STATE, Checkpoints
from geofcs.training.config import RunConfig
from geofcs.training.job import Job, job_of
from geofcs.training.optimisers import MOMENTS
from geofcs.training.processes import agreed, leads
from geofcs.training.progress import Progress
from geofcs.training.sets import Sets
from geofcs.training.start import starting_model
from geofcs.training.state import bytes_of, restore, state_bytes

CONFIG = "config.yaml"
"""What a run was begun with, in its folder."""

FIRST = (f"{STATE}.lock", f".{CONFIG}.")
"""Beginnings of what lies in the folder of a run that is not even begun."""

WEIGHTS = 3
"""Files of weights that there are at most: the best, the last, and the one that is being written."""


@contextmanager
def held(run: Path, *, new: bool) -> Iterator[Lock | None]:
    """The lock of a run's state, in its folder, for as long as the run goes on. Of several processes the leader has it.

    What killed processes left goes. Raises `OutputError` that names the run which goes on there already, and where a
    new one would meet an old one.
    """
    if not leads():
        yield None
        return
    with locked(run / STATE) as lock:
        if new:
            check_new(run)
        for orphan in run.glob(".*.unfinished"):
            orphan.unlink()
        yield lock


def check_new(run: Path) -> None:
    """Raise `OutputError` where a folder already holds something, to whoever holds its lock.

    What a run that ended before it saved anything leaves behind is not in the way of the next one.
    """
    if Checkpoints(run / STATE).exist:
        raise OutputError(f"{run}: holds a run already: go on with geofcs train --resume {run}, or choose another -o")
    if any(run.glob("*.safetensors")):
        raise OutputError(f"{run}: holds weights of a run that saved no state to go on from: choose another -o")
    if not (run / CONFIG).exists() and any(not path.name.startswith(FIRST) for path in run.iterdir()):
        raise OutputError(f"{run}: exists and is not empty: choose another -o")


def begun(fabric: Fabric, config: RunConfig, sets: Sets, note: Callable[[str], None]) -> tuple[Job, Progress]:
    """A job with the model that the config starts from; `note` is told which that is."""
    start = agreed(lambda: starting_model(config.model, sets.classes, config.train.seed))
    note(start.said)
    return job_of(fabric, config, sets.classes, start.model), Progress()


def resumed(
    run: Path, fabric: Fabric, config: RunConfig, sets: Sets, note: Callable[[str], None]
) -> tuple[Job, Progress]:
    """A job in the state that a run was saved in; `note` is told if that is not the last. Raises `InputError`."""
    tensors, facts = agreed(lambda: Checkpoints(run / STATE).load(note))
    classes = scheme_from_json(facts["classes"])
    if classes != sets.classes:
        raise InputError(f"{run}: was trained for the classes of {classes.name}, the data has {sets.classes.name}")
    # States written when there was one architecture do not name it.
    architecture = ARCHITECTURES[facts.get("architecture", MambaFCSConfig.architecture)]
    job = job_of(fabric, config, classes, build(architecture.config(facts["model"]), config.train.seed))
    try:
        restore(tensors, job.model, job.optimizer, job.average)
        job.teacher.restore(tensors, job.judged)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{run}: its state is not one of this config's model ({error})") from error
    return job, Progress(**facts["progress"])


def check_room_for(run: Path, job: Job, progress: Progress) -> None:
    """Raise `OutputError` where the disk has no room for the states and weights that are yet to be written."""
    config, states = job.config, Checkpoints(run / STATE).files
    weights = bytes_of(job.model.state_dict().values())
    state = state_bytes(job.model, job.optimizer, job.average, MOMENTS[config.train.optimiser])
    if config.loss.pseudo_from is not None and job.teacher.model is None:
        state += weights
    saves = -(-(config.train.iterations - progress.iteration) // config.output.save_every)
    there = sum(path.stat().st_size for path in [*states, *run.glob("*.safetensors")])
    needed = min(MOST, len(states) + saves) * state + WEIGHTS * weights - there
    check_room(run, needed, "the states and the weights of this run")
