"""Stub models that misbehave, importable by worker processes."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofcs.model.interface import Scores
from geofcs.schedule.workers import WorkerDiedError
from tests.stubs import StubScorer, StubScorerSource


@dataclass(frozen=True)
class SlowSource(StubScorerSource):
    """Takes `seconds` per batch."""

    seconds: float = 0.02

    def load(self) -> StubScorer:
        return SlowScorer(self.divisor, self.seconds)


class SlowScorer(StubScorer):
    def __init__(self, divisor: float, seconds: float) -> None:
        super().__init__(divisor)
        self._seconds = seconds

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        time.sleep(self._seconds)
        return super().__call__(t1, t2)


@dataclass(frozen=True)
class PoisonSource(StubScorerSource):
    """Kills its process at tiles with the pixel (`row`, `col`), and first leaves a file in `folder`; the first `deaths`
    times only."""

    folder: Path = Path()
    deaths: int = 1000
    row: int = 130
    col: int = 5

    def load(self) -> StubScorer:
        return PoisonScorer(self)


class PoisonScorer(StubScorer):
    def __init__(self, source: PoisonSource) -> None:
        super().__init__(source.divisor)
        self._source = source

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        source = self._source
        is_there = ((t1[:, 0] == source.row) & (t1[:, 1] == source.col)).any()
        if is_there and len(list(source.folder.iterdir())) < source.deaths:
            (source.folder / uuid.uuid4().hex).touch()
            self.die()
        return super().__call__(t1, t2)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DeadlySource(PoisonSource):
    """The same for threads, which cannot be killed: raises what the death of a worker comes to."""

    def load(self) -> StubScorer:
        return DeadlyScorer(self)


class DeadlyScorer(PoisonScorer):
    def die(self) -> None:
        raise WorkerDiedError


@dataclass(frozen=True)
class WitnessSource(StubScorerSource):
    """Leaves files in `folder` that say what it found in its process and thread."""

    folder: Path = Path()

    def load(self) -> StubScorer:
        found = {
            "process": os.getpid(),
            "thread": threading.get_ident(),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "environment": {name: value for name, value in os.environ.items() if name.endswith("_THREADS")},
            "threads": threads_of_libraries(),
            "from_the_system": share_from_the_system(),
        }
        (self.folder / f"{uuid.uuid4().hex}.json").write_text(json.dumps(found))
        return StubScorer(self.divisor)

    @property
    def found(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in self.folder.iterdir()]


def threads_of_libraries() -> dict[str, int]:
    """How many the calling thread's calls of torch, OpenMP and, where torch has it, MKL use."""
    said = torch.__config__.parallel_info()
    return {name: int(count) for name, count in re.findall(r"(\w+_(?:num|max)_threads)\(\) : (\d+)", said)}


def share_from_the_system() -> float:
    """Of memory that was freed a moment before, how much is fetched anew, page by page, when it is needed again."""
    times, size = 10, 8 * 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        bytearray(size)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / (times * size)


@dataclass(frozen=True)
class CountedSource(PoisonSource):
    """The same, and leaves a file in `calls` for each tile that it has scored."""

    calls: Path = Path()

    def load(self) -> StubScorer:
        return CountedScorer(self)


class CountedScorer(PoisonScorer):
    def __init__(self, source: CountedSource) -> None:
        super().__init__(source)
        self._calls = source.calls

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        scores = super().__call__(t1, t2)
        (self._calls / uuid.uuid4().hex).touch()
        return scores


@dataclass(frozen=True)
class LostGpuSource(StubScorerSource):
    """Stands for a GPU on which an assertion fails at tiles that reach over row 130, the first `faults` times, each of
    which leaves a file in `folder`: from then on whatever the process asks of it fails."""

    folder: Path = Path()
    faults: int = 1

    def load(self) -> StubScorer:
        return LostGpuScorer(self)


class LostGpuScorer(StubScorer):
    def __init__(self, source: LostGpuSource) -> None:
        super().__init__(source.divisor)
        self._source = source

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        if (t1[:, 0] == 130).any() and len(list(self._source.folder.iterdir())) < self._source.faults:
            (self._source.folder / f"{os.getpid()}").touch()
            torch.cuda.is_initialized = lambda: True
            torch.cuda.synchronize = fail_for_good  # type: ignore[assignment]
        if torch.cuda.synchronize is fail_for_good:
            fail_for_good()
        return super().__call__(t1, t2)


def fail_for_good(*_arguments: object) -> None:
    raise torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`")


@dataclass(frozen=True)
class HangingSource(StubScorerSource):
    """Hangs at tiles that reach over row 130, as long as `folder` is empty."""

    folder: Path = Path()

    def load(self) -> StubScorer:
        return HangingScorer(self)


class HangingScorer(StubScorer):
    def __init__(self, source: HangingSource) -> None:
        super().__init__(source.divisor)
        self._source = source

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        while (t1[:, 0] == 130).any() and not any(self._source.folder.iterdir()):
            time.sleep(0.1)
        return super().__call__(t1, t2)


@dataclass(frozen=True)
class AssertingSource(StubScorerSource):
    """Computes on a GPU, on which an assertion really fails at tiles that reach over row 130, the first `faults` times,
    each of which leaves a file in `folder`."""

    folder: Path = Path()
    faults: int = 1

    def load(self) -> StubScorer:
        return AssertingScorer(self)


class AssertingScorer(StubScorer):
    device = torch.device("cuda")

    def __init__(self, source: AssertingSource) -> None:
        super().__init__(source.divisor)
        self._source = source

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        if (t1[:, 0] == 130).any() and len(list(self._source.folder.iterdir())) < self._source.faults:
            (self._source.folder / f"{os.getpid()}").touch()
            read_beyond_the_end(t1.device)
        return super().__call__(t1, t2)


def read_beyond_the_end(device: torch.device) -> Tensor:
    """On a GPU an assertion that fails a little later, after which the process has lost it."""
    return torch.zeros(4, device=device)[torch.full((1,), 9, device=device)]
