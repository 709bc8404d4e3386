"""The README's picture, from the demo's files: both dates, the true changes as polygons, and the result.

make demo && python examples/picture.py demo docs/pictures/demo.jpg
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import rasterio
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from rasterio.plot import plotting_extent

from geofcs.classes import SECOND

LEGEND_ENTRIES = 5
"""Transitions named in the legend: those that cover most."""


def main(demo: Path, picture: Path) -> None:
    """Draw the four panels."""
    truth = demo / "truth.gpkg"
    command = [sys.executable, "-m", "geofcs", "polygonize", str(demo / "scenes" / "change.tif"), "-o", str(truth)]
    subprocess.run([*command, "--overwrite"], check=True)
    figure, panels = plt.subplots(1, 4, figsize=(18, 5.4), layout="constrained")
    show_scene(panels[0], demo / "scenes" / "t1.tif", "t1.tif")
    show_scene(panels[1], demo / "scenes" / "t2.tif", "t2.tif")
    show_scene(panels[2], demo / "scenes" / "t2.tif", "true changes, as polygons")
    show_polygons(panels[2], truth)
    show_scene(panels[3], demo / "scenes" / "t2.tif", "detected")
    show_polygons(panels[3], demo / "result" / "changes.gpkg")
    figure.legend(handles=legend_of(truth), loc="outside lower center", ncols=LEGEND_ENTRIES, frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)


def legend_of(polygons: Path) -> list[Patch]:
    """The transitions that cover most, with their colours."""
    areas = geopandas.read_file(polygons, layer="changes").groupby("code")["area_m2"].sum()
    codes = areas.sort_values(ascending=False).index[:LEGEND_ENTRIES]
    return [Patch(color=colour_of(code), label=SECOND.code_names[code]) for code in codes]


def colour_of(code: int) -> tuple[float, float, float]:
    """A code's colour, 0 to 1."""
    r, g, b = SECOND.code_colours[code]
    return r / 255, g / 255, b / 255


def show_scene(panel: Axes, path: Path, title: str) -> None:
    """A scene in its own colours."""
    with rasterio.open(path) as file:
        panel.imshow(file.read().transpose(1, 2, 0), extent=plotting_extent(file))
    _frame(panel, title)


def show_polygons(panel: Axes, path: Path) -> None:
    """The polygons, filled in their transition's colour."""
    polygons = geopandas.read_file(path, layer="changes")
    if len(polygons):
        colours = [colour_of(code) for code in polygons["code"]]
        polygons.plot(ax=panel, color=colours, edgecolor="white", linewidth=0.5, aspect=None)
        panel.set_xlabel("")
        panel.set_ylabel("")


def _frame(panel: Axes, title: str) -> None:
    panel.set_title(title)
    panel.set_xticks([])
    panel.set_yticks([])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
