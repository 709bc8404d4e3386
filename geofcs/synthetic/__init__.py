"""Made-up scenes of any size whose changes are known: numpy only, but for `write`."""

from __future__ import annotations

from geofcs.synthetic.parameters import DEFAULT_GSD, NO_NUISANCES, Nuisances, SceneParameters
from geofcs.synthetic.scene import ScenePixels, scene_pixels

__all__ = ["DEFAULT_GSD", "NO_NUISANCES", "Nuisances", "SceneParameters", "ScenePixels", "scene_pixels"]
