"""A trained model made ready to score tiles: loaded once per process, on one device, in one precision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from geofcs.errors import InputError
from geofcs.model.flips import TTA
from geofcs.model.inference import Recorded, prepare
from geofcs.model.interface import Scores, scores_of
from geofcs.model.weights import LoadedWeights, load_unchecked

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_loading = threading.Lock()
_loaded: dict[ModelSource, ModelScorer] = {}


@dataclass(frozen=True)
class ModelSource:
    """Which model a worker is to load, and how; small enough to send."""

    weights: Path
    sha256: str
    device: str
    precision: str
    tta: str = "none"

    def load(self) -> ModelScorer:
        """The scorer, loaded at the first call in a process and shared by its threads; other weights are forgotten."""
        with _loading:
            if self not in _loaded or _loaded[self].is_damaged:
                for other in [other for other in _loaded if other.sha256 != self.sha256]:
                    del _loaded[other]
                _loaded[self] = _load(self)
            return _loaded[self]

    def in_float32(self) -> ModelSource | None:
        """The same model computing in float32; None where this is it."""
        return None if self.precision == "fp32" else replace(self, precision="fp32")


class ModelScorer:
    """Softmax scores of batches of tiles by one model, whose weights may still be looked through for damage."""

    def __init__(self, loaded: LoadedWeights, device: str, precision: str, tta: str = "none") -> None:
        self.device = torch.device(device)
        self.mean_colours = loaded.info.mean_colours
        self._answer = TTA[tta]
        self._checked = loaded.checked
        self._model = prepare(loaded.model, DTYPES[precision])
        self._in_turn = _Turns(self.device) if self.device.type == "cuda" else _at_once

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        """Float32 scores of two batches (b, 3, tile, tile), RGB 0-255.

        On a GPU any thread may call, with any stream as its current one: the scores are that stream's. Where memory is
        short for a recorded model it is called without recordings from then on, which takes less of it. Raises
        `InputError` where weights are damaged.
        """
        with torch.inference_mode():
            scores = self._in_turn(lambda: self._scores(t1, t2))
        self.check()
        return scores

    @property
    def is_damaged(self) -> bool:
        """Whether its weights are known to be."""
        return self._checked.done() and self._checked.exception() is not None

    def check(self) -> None:
        """Wait until it is known. Raises `InputError` if they are."""
        self._checked.result()

    def _scores(self, t1: Tensor, t2: Tensor) -> Scores:
        try:
            return scores_of(self._answer(self._model, t1, t2))
        except torch.OutOfMemoryError:
            if not isinstance(self._model, Recorded) or not self._model.records:
                raise
        self._model.stop_recording()
        return scores_of(self._answer(self._model, t1, t2))


class _Turns:
    """Calls of several threads on one GPU, one after another in a stream of their own.

    A recorded model has memory for one call, so calls must not overlap; what the callers' own streams do, copy the next
    batch to the GPU and blend the last one, goes on meanwhile.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream(device))  # in which the model was prepared
        self._one_at_a_time = threading.Lock()

    def __call__(self, answer: Callable[[], Scores]) -> Scores:
        """Make scores from what the caller's stream has made so far, for it to go on with."""
        caller = torch.cuda.current_stream(self._stream.device)
        with self._one_at_a_time, torch.cuda.stream(self._stream):
            self._stream.wait_stream(caller)
            scores = answer()
            caller.wait_stream(self._stream)
        for layer in scores:
            if layer is not None:
                layer.record_stream(caller)  # its memory is the model's again only when the caller has read it
        return scores


def _at_once(answer: Callable[[], Scores]) -> Scores:
    return answer()


def _load(source: ModelSource) -> ModelScorer:
    loaded = load_unchecked(source.weights, source.device)
    if loaded.info.sha256 != source.sha256:
        raise InputError(f"{source.weights}: has changed since the run was planned: give the command again")
    return ModelScorer(loaded, source.device, source.precision, source.tta)


def chosen_device(wanted: str) -> str:
    """`auto` becomes cuda, mps or cpu, whichever is there first; anything else is checked.

    Raises `InputError` for a device that is not there.
    """
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if wanted == "auto":
        return present[0]
    if wanted not in present:
        raise InputError(f"--device {wanted}: is not there; this machine has {', '.join(present)}")
    return wanted


def checked_tta(wanted: str) -> str:
    """The name if there is such a test-time augmentation; `InputError` lists those there are."""
    if wanted not in TTA:
        raise InputError(f"--tta {wanted}: is not known; choose one of {', '.join(TTA)}")
    return wanted


def chosen_precision(wanted: str, device: str) -> str:
    """`auto` becomes bf16 on GPUs that compute in it, fp16 on older ones, and fp32 elsewhere."""
    if wanted != "auto":
        return wanted
    if device != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
