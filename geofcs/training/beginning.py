"""How a run begins: in a folder of its own with a starting model, or in the state that it was saved in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning_fabric import Fabric

from geofcs.classes import scheme_from_json
from geofcs.errors import InputError, OutputError
from geofcs.model.build import ARCHITECTURES, build
from geofcs.model.config import MambaFCSConfig
from geofcs.training.checkpoint import STATE, Checkpoints
from geofcs.training.config import RunConfig
from geofcs.training.job import Job, job_of
from geofcs.training.processes import agreed
from geofcs.training.progress import Progress
from geofcs.training.sets import Sets
from geofcs.training.start import starting_model
from geofcs.training.state import restore

CONFIG = "config.yaml"
"""What a run was begun with, in its folder."""


def check_new(run: Path) -> None:
    """Raise `OutputError` where a folder already holds something.

    What a run that ended before it saved anything leaves behind is not in the way of the next one.
    """
    if Checkpoints(run / STATE).exist:
        raise OutputError(f"{run}: holds a run already: go on with geofcs train --resume {run}, or choose another -o")
    if any(run.glob("*.safetensors")):
        raise OutputError(f"{run}: holds weights of a run that saved no state to go on from: choose another -o")
    if run.exists() and not (run.is_dir() and ((run / CONFIG).exists() or not any(run.iterdir()))):
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
