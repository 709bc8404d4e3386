"""Two rasters as one pair on one grid: which pixels, which bands, which values, and what is valid."""

from geofcs.scene.options import SceneOptions
from geofcs.scene.pair import PairPixels, PairReader, SceneDate, ScenePair
from geofcs.scene.planning import plan_pair

__all__ = ["PairPixels", "PairReader", "SceneDate", "SceneOptions", "ScenePair", "plan_pair"]
