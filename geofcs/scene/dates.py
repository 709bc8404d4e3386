"""When a scene was taken, if its file says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from rasterio.io import DatasetReader

TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITIONDATE",
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",
    "DATETIME",
    "TIFFTAG_DATETIME",
)
"""Tags that hold a date, best first: the TIFF tag may be when the file was made."""


def acquisition_date(dataset: DatasetReader) -> str | None:
    """The date in a file's tags as YYYY-MM-DD, or None."""
    tags = _upper(dataset.tags(ns="IMAGERY")) | _upper(dataset.tags())
    return next(filter(None, (iso_date(tags[name]) for name in TAGS if name in tags)), None)


def iso_date(text: str) -> str | None:
    """The date that a text begins with, in the usual forms: 2020-05-17T..., 2020:05:17 ..., 20200517."""
    match = re.match(r"\s*(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})", text)
    try:
        return date(*map(int, match.groups())).isoformat() if match else None
    except ValueError:
        return None


def _upper(tags: Mapping[str, str]) -> dict[str, str]:
    return {name.upper(): value for name, value in tags.items()}
