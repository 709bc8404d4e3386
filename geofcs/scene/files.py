"""Opening one raster safely: by the drivers that are allowed, and never with an exception that is not ours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors reach the caller as these
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from geofcs.errors import InputError, SourceError
from geofcs.remote import Address, FileState, parse_address, read_part, state_of
from geofcs.scene.beside import listing_for
from geofcs.scene.formats import GEOTIFF, VIRTUAL, Allowed
from geofcs.scene.virtual import Virtual, virtual_raster

READ_FAILURES = (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError)
"""What opening and reading may raise; damaged text in a header shows as UnicodeDecodeError, a ValueError."""

LOOKS_AT_HEADER = 4
"""A header from a server counts once two handles in a row have found the same."""


@dataclass(frozen=True)
class RasterFile:
    """A raster and what it looked like when the run was planned.

    `driver` is the one that reads it. `header` is the hash of what it says of itself, for remote files, once they were
    inspected: of a header that came over a network a tag may be missing, and nobody says so. `virtual` is what stands
    for a virtual raster.
    """

    address: Address
    state: FileState
    driver: str
    header: str | None = None
    virtual: Virtual | None = None

    @property
    def path(self) -> str:
        """The path or address, without secrets."""
        return self.address.shown

    @property
    def name(self) -> str:
        """The last part of the path, for messages."""
        return self.address.name

    @property
    def parts(self) -> tuple[tuple[Address, FileState], ...]:
        """The file, and those that it names."""
        return (self.address, self.state), *(self.virtual.sources if self.virtual else ())

    @staticmethod
    def found_at(path: str, allowed: Allowed | None = None) -> RasterFile:
        """The file as it is now, its path made absolute; `InputError` if there is none that could be read.

        Without `allowed` it is a GeoTIFF or refused.
        """
        allowed = allowed or Allowed()
        address = parse_address(path, allowed.archives)
        state = state_of(address)
        virtual = virtual_raster(address, allowed)
        if virtual:
            return RasterFile(address, state, VIRTUAL, virtual=virtual)
        return _with_driver(address, state, tuple(driver for driver in allowed.drivers if driver != VIRTUAL))

    def open(self) -> DatasetReader:
        """A dataset for the calling thread; `InputError` if it cannot be opened."""
        reason: Exception | None = None
        for _ in range(1 if self.address.is_local else LOOKS_AT_HEADER):
            try:
                dataset = _opened(self.address, self.driver) if self.virtual is None else _opened_text(self.virtual)
            except PermissionError as error:
                raise InputError(f"{self.path}: must not be read: check its permissions") from error
            except READ_FAILURES as error:
                reason = error
                continue
            if self.header is None or header_of(dataset) == self.header:
                return dataset
            dataset.close()
            reason = InputError("its header is another one than when the run was planned")
        raise self._unusable(reason)

    @contextmanager
    def inspected(self) -> Iterator[tuple[RasterFile, DatasetReader]]:
        """A dataset to learn about, and the file with its header; `InputError` also where a header is damaged."""
        with self._agreed() as dataset:
            try:
                yield replace(self, header=None if self.address.is_local else header_of(dataset)), dataset
            except READ_FAILURES as error:
                raise self._unusable(error) from error

    def _agreed(self) -> DatasetReader:
        """A dataset whose header is that of the one opened before it."""
        dataset = self.open()
        if self.address.is_local:
            return dataset
        for _ in range(LOOKS_AT_HEADER):
            before = header_of(dataset)
            dataset.close()
            dataset = self.open()
            if header_of(dataset) == before:
                return dataset
        dataset.close()
        raise SourceError(f"{self.path}: its header comes differently each time: its server is broken, download it")

    def _unusable(self, error: Exception | None) -> InputError:
        wanted = "as a GeoTIFF" if self.driver == GEOTIFF else f"by the driver {self.driver}"
        return InputError(
            f"{self.path}: cannot be opened {wanted} ({one_line(error, self)}): if it is another format, "
            "convert it with gdal_translate; else it is damaged and must be copied again"
        )

    def check_unchanged(self) -> None:
        """Raise `InputError` if the file is another one than when the run was planned, or `SourceError` if it has gone.

        What was read before and after the change does not belong together.
        """
        for address, state in self.parts:
            try:
                now = state_of(address)
            except InputError as error:
                raise SourceError(str(error)) from error
            _check_state(address, now, state)

    def read_bytes(self, first: int, count: int) -> bytes:
        """Bytes of a remote file, surely those; errors as in `check_unchanged`."""
        try:
            content, now = read_part(self.address, first, count)
        except InputError as error:
            raise SourceError(str(error)) from error
        _check_state(self.address, now, self.state)
        return content

    def open_again(self) -> DatasetReader:
        """Like `open`, in the middle of a run: `SourceError` if the file has gone or become unreadable.

        `InputError` if it has changed.
        """
        self.check_unchanged()
        try:
            return self.open()
        except InputError as error:
            raise SourceError(str(error)) from error


def _check_state(address: Address, now: FileState, planned: FileState) -> None:
    difference = now.differs_from(planned)
    if difference:
        raise InputError(
            f"{address.shown}: has changed since the run was planned ({difference}): restore it, or give the command "
            "again with --restart"
        )


def _with_driver(address: Address, state: FileState, drivers: tuple[str, ...]) -> RasterFile:
    """The file with the first driver that opens it; where none does, `open` will say so."""
    for driver in drivers if len(drivers) > 1 else ():
        try:
            _opened(address, driver).close()
        except READ_FAILURES:
            continue
        return RasterFile(address, state, driver)
    return RasterFile(address, state, drivers[0])


def _opened(address: Address, driver: str) -> DatasetReader:
    # A local file's name is never taken for a URL or a GDAL connection string, whatever characters it has.
    is_plain = address.is_local and not address.archive
    # Beside a remote file none is looked for; and none but a GeoTIFF hides in an archive unasked.
    listing = listing_for(Path(address.rest)) if is_plain else "EMPTY_DIR"
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=listing):
        return rasterio.open(Path(address.rest) if is_plain else address.gdal, driver=driver)


def _opened_text(virtual: Virtual) -> DatasetReader:
    return rasterio.open(virtual.text, driver=VIRTUAL)


def header_of(dataset: DatasetReader) -> str:
    """The hash of everything that a dataset's header decides of its pixels."""
    told: tuple[Any, ...] = (
        *(dataset.count, dataset.height, dataset.width, dataset.dtypes, dataset.nodatavals, dataset.block_shapes),
        *(dataset.crs and dataset.crs.to_wkt(), tuple(dataset.transform), dataset.scales, dataset.offsets),
        *(dataset.descriptions, dataset.colorinterp, dataset.mask_flag_enums, sorted(dataset.profile.items(), key=str)),
        *(sorted(dataset.tags().items()), len(dataset.gcps[0]), dataset.rpcs is None),
    )
    return hashlib.sha256(repr(told).encode("utf-8", "backslashreplace")).hexdigest()


def read_failure(file: RasterFile, what: str, error: BaseException) -> SourceError:
    """The error for a read that failed after the file could be opened; `what` is the part that was wanted."""
    cure = (
        "the file is damaged or its disk is gone; check it with gdalinfo -checksum, copy it again, then give the same "
        "command to go on"
        if file.address.is_local
        else "the file is damaged, or its server does not send what it should; give the same command later to go on, "
        "or download it"
    )
    return SourceError(f"{file.path}: {what} cannot be read ({one_line(error, file)}): {cure}")


def one_line(error: BaseException | None, file: RasterFile) -> str:
    """What an error says, without the secrets of an address."""
    if error is None:
        return "no reason given"
    said = f"{error.__cause__ or error}"
    if file.virtual:
        said = said.replace(file.virtual.text, file.path)
    for address, _ in file.parts:
        said = said.replace(address.gdal, address.shown)
        if not address.archive:
            said = said.replace(address.url, address.shown)
    return " ".join(said.split()) or type(error).__name__
