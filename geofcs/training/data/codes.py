"""The truth of a window of a scene as from-to codes, whatever file it comes from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

UNKNOWN = -1
"""The code of pixels about which the truth says nothing."""

Codes = npt.NDArray[np.int64]


class Layers(Protocol):
    """Codes by window, for one thread."""

    def read(self, window: Window) -> Codes:
        """(h, w) from-to codes, 0 = no change, -1 = unknown."""
        ...
