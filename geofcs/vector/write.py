"""Polygon files: all is written as a GeoPackage first, checked, turned into the wanted format, and then named."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.enums import WktVersion

from geofcs.durable import rename_synced
from geofcs.errors import OutputError, UsageError, VerificationError
from geofcs.vector.check import LAYER, ROWS_PER_BATCH, check_closed, check_pages
from geofcs.vector.features import GEOMETRY, SCHEMA

ATTRIBUTES = [name for name in SCHEMA.names if name not in ("fid", GEOMETRY)]

SIDE_FILES = ("-journal", "-wal", "-shm", ".aux.xml")
"""What may lie beside an old file of the same name; SQLite would play an old journal back into the new file."""

WRITER_SETTINGS = {"OGR_SQLITE_SYNCHRONOUS": "OFF", "OGR_SQLITE_JOURNAL": "MEMORY", "CPL_LOG": os.devnull}
"""The file is worth nothing until it is complete, so SQLite need not protect it on the way; it is synced at the end.
What GDAL says while it closes a file that is lost already would be printed beside our line: it goes nowhere."""

Tables = Callable[[], dict[str, pd.DataFrame]]


def check_target(out: Path, overwrite: bool) -> None:
    """Refuse, before any work, an ending without a writer and a file that exists."""
    if out.suffix not in _FINISH:
        raise UsageError(f"{out}: polygons are written as {', '.join(_FINISH)}: give -o one of these endings")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists; give another name, or --overwrite to replace it")
    if out.is_dir():
        raise OutputError(f"{out}: is a folder; give the name of a file")


def write_features(out: Path, batches: Iterable[pa.RecordBatch], tables: Tables, crs: CRS | None, date: str) -> int:
    """Write layer `changes` from batches of `SCHEMA`, and then the attribute tables; returns the number of features.

    `tables` is called when the last batch is written. `date` (ISO 8601) is what the file says of its making, so that
    the same features make the same bytes. Nothing stands under the name `out` before everything was read back; then it
    is replaced at once. Raises `OutputError` and `VerificationError`, and passes on what `batches` raises.
    """
    try:
        with _working_folder(out) as folder, _settings({**WRITER_SETTINGS, "OGR_CURRENT_DATE": date}):
            package = folder / "changes.gpkg"
            count = _write_package(package, batches, tables, _as_wkt(crs))
            _check_written(package, count, out)
            finished = _FINISH[out.suffix](package, crs)
            _check_count(finished, count)
            for ending in SIDE_FILES:
                out.with_name(f"{out.name}{ending}").unlink(missing_ok=True)
            rename_synced(finished, out)
    except (DataSourceError, DataLayerError, OSError) as error:
        raise OutputError(f"{out}: cannot be written ({error}): check the folder and the free space") from error
    return count


@contextmanager
def _working_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that is gone in the end; what a killed run left there goes first: there is a lock on it."""
    folder = out.parent / f".{out.name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _settings(wanted: dict[str, str]) -> Iterator[None]:
    """GDAL settings of pyogrio for a while; it has a GDAL of its own that `rasterio.Env` does not reach."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in wanted}
    pyogrio.set_gdal_config_options(wanted)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _write_package(package: Path, batches: Iterable[pa.RecordBatch], tables: Tables, crs: str | None) -> int:
    counted = _Counted(batches)
    reader = pa.RecordBatchReader.from_batches(SCHEMA, counted)
    try:
        _write_arrow(reader, package, crs, driver="GPKG", layer_options={"GEOMETRY_NAME": GEOMETRY})
    except RuntimeError:
        if counted.error is not None:
            raise counted.error from None
        raise
    for name, table in tables().items():
        pyogrio.write_dataframe(table, package, layer=name, driver="GPKG")
    return counted.count


class _Counted:
    """Batches on their way into GDAL, which tells nothing of how many there were nor of what went wrong in here."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.count = 0
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.count += batch.num_rows
                yield batch
        except BaseException as error:
            self.error = error
            raise


def _write_arrow(
    reader: pa.RecordBatchReader, path: Path, crs: str | None, driver: str, layer_options: dict[str, str]
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.write_arrow(
            reader, path, layer=LAYER, driver=driver, geometry_name=GEOMETRY, geometry_type="Polygon", crs=crs,
            layer_options=layer_options,
        )  # fmt: skip


def _check_written(package: Path, count: int, out: Path) -> None:
    """What is not whole just after it was written had no room: GDAL does not report every write that fails."""
    try:
        check_pages(package, count)
        check_closed(package)
    except VerificationError as error:
        raise OutputError(f"{out}: cannot be written: {error}") from error


def _check_count(path: Path, count: int) -> None:
    if path.suffix == ".parquet":
        found = pq.ParquetFile(path).metadata.num_rows
    else:
        found = pyogrio.read_info(path, layer=LAYER, force_feature_count=True)["features"]
    if found != count:
        raise VerificationError(f"{path.name}: holds {found} of {count} polygons; give the same command again")


def _as_package(package: Path, _crs: CRS | None) -> Path:
    return package


def _as_flatgeobuf(package: Path, crs: CRS | None) -> Path:
    return _copied(package, package.with_suffix(".fgb"), _as_wkt(crs), "FlatGeobuf", {})


def _as_geojson(package: Path, crs: CRS | None) -> Path:
    """In longitude and latitude, as RFC 7946 has it; nine decimals are a tenth of a millimetre."""
    options = {"RFC7946": "YES", "COORDINATE_PRECISION": "9"}
    return _copied(package, package.with_suffix(".geojson"), _as_wkt(crs), "GeoJSON", options)


def _copied(package: Path, path: Path, crs: str | None, driver: str, layer_options: dict[str, str]) -> Path:
    with _features_of(package) as reader:
        _write_arrow(reader, path, crs, driver, layer_options)
    return path


def _as_geoparquet(package: Path, crs: CRS | None) -> Path:
    path = package.with_suffix(".parquet")
    with _features_of(package) as reader:
        schema = reader.schema.remove_metadata().with_metadata({"geo": json.dumps(_geo_metadata(crs))})
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return path


def _geo_metadata(crs: CRS | None) -> dict[str, Any]:
    """What GeoParquet 1.0 wants to know; a null CRS means unknown."""
    column = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": None if crs is None else pyproj.CRS.from_user_input(crs).to_json_dict(),
    }
    return {"version": "1.0.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


@contextmanager
def _features_of(package: Path) -> Iterator[pa.RecordBatchReader]:
    """The layer's features in the order of their ids, in batches."""
    with pyogrio.open_arrow(package, layer=LAYER, columns=ATTRIBUTES, use_pyarrow=True, batch_size=ROWS_PER_BATCH) as (
        _,
        reader,
    ):
        yield reader


_FINISH = {".gpkg": _as_package, ".fgb": _as_flatgeobuf, ".parquet": _as_geoparquet, ".geojson": _as_geojson}
"""By ending, what turns the checked GeoPackage into the file that was asked for."""


def _as_wkt(crs: CRS | None) -> str | None:
    return None if crs is None else str(crs.to_wkt(version=WktVersion.WKT2_2019))
