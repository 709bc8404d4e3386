"""geofcs: from-to change maps and polygons from two georeferenced images of any size."""

__version__ = "0.1.0.dev0"
