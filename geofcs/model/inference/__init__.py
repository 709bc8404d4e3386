"""Models prepared for inference: the same numbers as `geofcs.model`'s modules, sooner."""

from __future__ import annotations

from geofcs.model.inference.fcs import PreparedMambaFCS

__all__ = ["PreparedMambaFCS"]
