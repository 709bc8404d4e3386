"""Opening one raster safely: by the GTiff driver alone, and never with an exception that is not ours."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors reach the caller as these
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from geofcs.errors import InputError, SourceError

READ_FAILURES = (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError)
"""What opening and reading may raise; damaged text in a header shows as UnicodeDecodeError, a ValueError."""


@dataclass(frozen=True)
class RasterFile:
    """A raster and what it looked like when the run was planned; sizes and times are None for URLs."""

    path: str
    size_bytes: int | None
    mtime_ns: int | None

    @property
    def name(self) -> str:
        """The last part of the path, for messages."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @staticmethod
    def found_at(path: str) -> RasterFile:
        """The file as it is now, its path made absolute; `InputError` if there is none that could be read."""
        if not is_local(path):
            return RasterFile(path, None, None)
        absolute = str(Path(path).absolute())
        try:
            status = Path(absolute).stat()
        except FileNotFoundError:
            raise InputError(f"{path}: no such file: check the path") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}): check the path and its permissions") from error
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{path}: is a folder: name one GeoTIFF in it")
        if status.st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes): copy or download it again")
        return RasterFile(absolute, status.st_size, status.st_mtime_ns)

    def open(self) -> DatasetReader:
        """A dataset for the calling thread; `InputError` if the file is not a GeoTIFF that can be opened."""
        try:
            # A local file's name is never taken for a URL or a GDAL connection string, whatever characters it has.
            return rasterio.open(Path(self.path) if is_local(self.path) else self.path, driver="GTiff")
        except PermissionError as error:
            raise InputError(f"{self.path}: must not be read: check its permissions") from error
        except READ_FAILURES as error:
            raise self._unusable(error) from error

    @contextmanager
    def inspected(self) -> Iterator[DatasetReader]:
        """A dataset to learn about; `InputError` also if something in its header turns out to be damaged."""
        with self.open() as dataset:
            try:
                yield dataset
            except READ_FAILURES as error:
                raise self._unusable(error) from error

    def _unusable(self, error: BaseException) -> InputError:
        return InputError(
            f"{self.path}: cannot be opened as a GeoTIFF ({_one_line(error)}): if it is another format, convert it "
            "with gdal_translate; else it is damaged and must be copied again"
        )

    def open_again(self) -> DatasetReader:
        """Like `open`, in the middle of a run: `SourceError` if the file has gone, changed or become unreadable."""
        try:
            now = RasterFile.found_at(self.path)
            if now != self:
                raise SourceError(
                    f"{self.path}: has changed since the run was planned: restore it, or give the command again with "
                    "--restart"
                )
            return self.open()
        except InputError as error:
            raise SourceError(str(error)) from error


def is_local(path: str) -> bool:
    """Whether a path is one of this machine's file system, not a URL or one of GDAL's virtual file systems."""
    return "://" not in path and not path.startswith("/vsi")


def read_failure(path: str, what: str, error: BaseException) -> SourceError:
    """The error for a read that failed after the file could be opened; `what` is the part that was wanted."""
    return SourceError(
        f"{path}: {what} cannot be read ({_one_line(error)}): the file is damaged or its disk is gone; check it with "
        "gdalinfo -checksum, copy it again, then give the same command to go on"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(f"{error.__cause__ or error}".split()) or type(error).__name__
