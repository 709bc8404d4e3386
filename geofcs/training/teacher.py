"""The teacher of pseudo labels: a copy of the best model so far, once that is good enough."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from geofcs.model.flips import mean_over_flips
from geofcs.model.interface import ChangeModel
from geofcs.training.batches import Batch
from geofcs.training.losses import Labels
from geofcs.training.pseudo import Confidence, with_pseudo_labels

TEACHER, SUMS, PIXELS = "teacher.", "teacher_confidence/sums", "teacher_confidence/pixels"
"""Beginning of the names of its weights in a state, and names of what else it knows."""


@dataclass
class Teacher:
    """Nobody yet, as long as `model` is None; then a model in eval mode, and how sure it has been of each class."""

    model: ChangeModel | None = None
    confidence: Confidence | None = None

    def become(self, model: ChangeModel) -> None:
        """A copy of a model, which has been sure of nothing yet."""
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        device = next(self.model.parameters()).device
        self.confidence = Confidence.first(model.config.classes, device)

    def labels(self, batch: Batch, labels: Labels) -> Labels:
        """Labels with the teacher's in unchanged pixels, by its mean over the four flips; unchanged while it is nobody.

        Images are as the trained model sees them.
        """
        if self.model is None or self.confidence is None:
            return labels
        with torch.no_grad():
            said = mean_over_flips(self.model, batch.t1, batch.t2)
        if said.t1 is None or said.t2 is None:
            return labels
        labels, self.confidence = with_pseudo_labels(labels, (said.t1.softmax(1), said.t2.softmax(1)), self.confidence)
        return labels

    def tensors(self) -> dict[str, Tensor]:
        """What a run's state has to hold of it, by name."""
        if self.model is None or self.confidence is None:
            return {}
        weights = {f"{TEACHER}{name}": tensor for name, tensor in self.model.state_dict().items()}
        return weights | {SUMS: self.confidence.sums, PIXELS: self.confidence.pixels}

    def restore(self, tensors: Mapping[str, Tensor], model: ChangeModel) -> None:
        """Become what `tensors` held, in the shape of `model`. Raises KeyError or RuntimeError for another model's."""
        if SUMS not in tensors:
            return
        self.become(model)
        assert self.model is not None
        weights = {name.removeprefix(TEACHER): each for name, each in tensors.items() if name.startswith(TEACHER)}
        self.model.load_state_dict(weights)
        device = next(self.model.parameters()).device
        self.confidence = Confidence(tensors[SUMS].to(device), tensors[PIXELS].to(device))
