"""How geofcs writes its own rasters and reads them back: GDAL settings, and the side file with names of values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio
from rasterio.errors import NotGeoreferencedWarning

BLOCK_CACHE_BYTES = 256 * 2**20
"""GDAL's default is 5 % of the memory for every process. In bytes: rasterio does not pass a small number on as MB."""

# Images without georeferencing are dealt with where scenes are planned. Silenced for good and not around each call:
# warnings.catch_warnings changes global state and files are opened in several threads.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def gdal_settings() -> rasterio.Env:
    """A context in which no side files appear and compression runs in the calling thread.

    A GDAL that compresses in threads of its own does not report a full disk.
    """
    return rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_NUM_THREADS="1", GDAL_CACHEMAX=BLOCK_CACHE_BYTES)


def category_names_of(file_name: str) -> str:
    """The side file in which GDAL and GIS programs look for the names of a raster's values."""
    return f"{file_name}.aux.xml"


def write_category_names(path: Path, names: Mapping[int, str]) -> None:
    """Write the names of the values of the raster at `path` into its side file."""
    root = ET.Element("PAMDataset")
    categories = ET.SubElement(ET.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        ET.SubElement(categories, "Category").text = names.get(value, "")
    ET.indent(root)
    side_file = path.with_name(category_names_of(path.name))
    side_file.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")
