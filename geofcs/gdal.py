"""How geofcs reads and writes rasters: GDAL's settings, and the side file with names of values."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

BLOCK_CACHE_BYTES = 256 * 2**20
"""GDAL's default is 5 % of the memory for every process. In bytes: rasterio does not pass a small number on as MB."""

NETWORK = {
    "GDAL_HTTP_MAX_RETRY": "5",  # by default none
    "GDAL_HTTP_RETRY_DELAY": "0.5",  # seconds, doubled each time
    "GDAL_HTTP_RETRY_CODES": "429,500,502,503,504",  # ALL would ask those again who refuse
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_TIMEOUT": "120",  # by default for ever
    "GDAL_HTTP_LOW_SPEED_TIME": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes a second
    "GDAL_INGESTED_BYTES_AT_OPEN": "65536",  # header and first indices at once
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 * 2**20),
    # What a failed or broken answer left in GDAL's cache would come back for ever: nothing outlives its handle.
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/",
    "VSI_CACHE": "FALSE",
}
"""How GDAL talks to servers; a variable of the same name in the environment goes before."""

# Images without georeferencing are dealt with where scenes are planned. Silenced for good and not around each call:
# warnings.catch_warnings changes global state and files are opened in several threads.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def gdal_settings() -> rasterio.Env:
    """A context in which no side files appear or are looked for, and compression runs in the calling thread.

    What lies beside a raster could make GDAL read other files: `geofcs.scene.beside` says where it may look. A GDAL
    that compresses in threads of its own does not report a full disk. What is read over a network is asked for again
    where it does not come, and no failure is remembered.
    """
    network = {name: network_setting(name) for name in NETWORK} | s3_endpoint()
    alone = {"GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    return rasterio.Env(GDAL_NUM_THREADS="1", GDAL_CACHEMAX=BLOCK_CACHE_BYTES, **alone, **network)


@cache
def quick_compression() -> Mapping[str, str | int]:
    """How rasters are written that are read once or twice: with Zstandard, or deflate where GDAL was built without it.

    For strips Zstandard took a quarter of the time of deflate, and less room.
    """
    with rasterio.Env(), MemoryFile() as memory:
        try:
            with memory.open(driver="GTiff", count=1, height=1, width=1, dtype="uint8", compress="zstd"):
                return {"compress": "zstd", "zstd_level": 1}
        except RasterioError:
            return {"compress": "deflate", "zlevel": 1}


def network_setting(name: str) -> str:
    """The user's value of a key of `NETWORK`, or ours."""
    return os.environ.get(name, NETWORK[name])


def s3_endpoint() -> dict[str, str]:
    """GDAL's settings for a store that speaks S3 elsewhere than at Amazon's, from the environment."""
    said = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "AWS_S3_ENDPOINT" in os.environ or not said:
        names = ("AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING")
        return {name: os.environ[name] for name in names if name in os.environ}
    parts = urlsplit(said)
    https = "NO" if parts.scheme == "http" else "YES"
    return {"AWS_S3_ENDPOINT": parts.netloc, "AWS_HTTPS": https, "AWS_VIRTUAL_HOSTING": "FALSE"}


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
