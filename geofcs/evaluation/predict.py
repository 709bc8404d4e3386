"""A model's class maps of batches of pairs, by the published variant, with or without the four flips."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from geofcs.classes import ClassScheme
from geofcs.errors import ComputeError
from geofcs.evaluation.classes import in_ids_of
from geofcs.model.flips import TTA
from geofcs.model.inference import prepare
from geofcs.model.interface import Logits
from geofcs.model.maps import PUBLISHED, Maps, maps_of
from geofcs.model.weights import WeightsInfo, load_weights
from geofcs.scoring import DTYPES, checked_tta, chosen_device, chosen_precision


class Predictor:
    """A trained model on one device, in one precision."""

    def __init__(self, weights: Path, device: str, precision: str, tta: str) -> None:
        """Raises `InputError` for weights that cannot be loaded, a device or an augmentation that is not there."""
        self.tta = checked_tta(tta)
        loaded = load_weights(weights, chosen_device(device))
        self.info: WeightsInfo = loaded.info
        self.parameters = sum(each.numel() for each in loaded.model.parameters())
        self.precision = chosen_precision(precision, chosen_device(device))
        self.device = torch.device(chosen_device(device))
        self._model = prepare(loaded.model, DTYPES[self.precision])

    def maps(self, t1: Tensor, t2: Tensor, scheme: ClassScheme) -> Maps:
        """Maps (b, h, w) of images (b, 3, h, w), 0-255, in the ids of a scheme; raises `ComputeError`."""
        with torch.inference_mode():
            logits = self._logits(t1.to(self.device).float(), t2.to(self.device).float())
        if not all(bool(each.isfinite().all()) for each in logits if each is not None):
            raise ComputeError("the model gave numbers that are not finite: try --precision fp32, or other weights")
        return in_ids_of(maps_of(logits, PUBLISHED), self.info.classes, scheme)

    def _logits(self, t1: Tensor, t2: Tensor) -> Logits:
        try:
            return TTA[self.tta](self._model, t1, t2)
        except torch.OutOfMemoryError as error:
            raise ComputeError(
                f"{self.device}: out of memory with {len(t1)} pairs of {t1.shape[2]} x {t1.shape[3]} pixels: use a "
                "smaller --batch"
            ) from error
