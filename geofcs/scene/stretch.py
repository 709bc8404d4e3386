"""Radiometric scaling: which values of a band become 0 and 255."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofcs.errors import UsageError
from geofcs.scene.options import numbers_in

Values = npt.NDArray[np.floating]

PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True)
class Stretch:
    """Per band, the value that becomes 0 (`low`) and the one that becomes 255 (`high`)."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, values: Values) -> npt.NDArray[np.float32]:
        """(bands, h, w) values as float32, 0-255; NaN stays NaN, a band without any spread becomes 0."""
        low = np.array(self.low, values.dtype)[:, None, None]
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (values - low) * self._gains(values.dtype)
        return np.clip(scaled, 0, 255, out=scaled).astype(np.float32, copy=False)

    def _gains(self, dtype: np.dtype[np.floating]) -> Values:
        gains = [255 / (high - low) if high > low else 0 for low, high in zip(self.low, self.high, strict=True)]
        return np.array(gains, dtype)[:, None, None]

    @property
    def text(self) -> str:
        """The ranges per band, as in "120 to 2411, 98 to 2030"."""
        return ", ".join(f"{low:g} to {high:g}" for low, high in zip(self.low, self.high, strict=True))


def parsed_stretch(text: str, bands: int) -> Stretch:
    """The stretch that --scale MIN,MAX asks for, alike for all bands; `UsageError` if it is none."""
    numbers = numbers_in(text)
    if numbers is None or len(numbers) != 2 or not np.isfinite(numbers).all() or numbers[0] >= numbers[1]:
        raise UsageError(f"--scale {text}: give MIN,MAX, two numbers that become 0 and 255, as in 0,3000")
    return Stretch((numbers[0],) * bands, (numbers[1],) * bands)


def percentile_stretch(sample: Values) -> Stretch:
    """The stretch by the 2nd and 98th percentile of each band of a (bands, n) sample, n > 0.

    Where both are equal (most of a band has one value) the extremes are taken.
    """
    low, high = np.percentile(sample.astype(np.float64), PERCENTILES, axis=1)
    flat = low == high
    low[flat], high[flat] = sample.min(axis=1)[flat], sample.max(axis=1)[flat]
    return Stretch(tuple(low.tolist()), tuple(high.tolist()))
