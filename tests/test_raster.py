"""Raster products: the strips' pixels as COGs that GIS programs understand."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from geofcs import product as product_file
from geofcs import pyramid, storage
from geofcs.classes import BINARY, CLASSES_TAG, LANDSAT, SECOND, ClassScheme, LandCover, scheme_from_json
from geofcs.errors import OutputError, VerificationError
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid
from geofcs.mosaic import Mosaic
from geofcs.overviews import INTERNAL_TILE, Pixels
from geofcs.product import Product, products_of
from geofcs.pyramid import CELL, Pyramid
from geofcs.storage import Storage
from geofcs.strips import Strip, strips_of, write_strip
from geofcs.tiles import Lattice
from tests.outputs import write_products
from tests.vector.test_bad_input import files_of_at_most

GRID = Grid(CRS.from_epsg(32631), Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), 700, 1100)
UNREFERENCED = Grid(None, Affine.identity(), 700, 1100)
TIFF, BIGTIFF = b"II*\0", b"II+\0"
MANY = ClassScheme("many", tuple(LandCover(f"class {i}", (i, i, i)) for i in range(16)))


def nobody(_whatever: object) -> None:
    pass


def bands_of(scheme: ClassScheme) -> np.ndarray:
    """Codes, percent and both land covers of a whole scene, in blobs of 20 pixels, with a nodata corner."""
    random = np.random.default_rng(7)
    shape = GRID.height // 20, GRID.width // 20
    most = (random.integers(0, high, shape) for high in (len(scheme.transitions) + 1, 101, scheme.count, scheme.count))
    bands = np.stack([np.kron(each, np.ones((20, 20))) for each in most]).astype(scheme.code_dtype)
    bands[:, :50, :60] = np.array([scheme.nodata, 255, 255, 255])[:, None, None]
    return bands


def strips_with(folder: Path, bands: np.ndarray, most_columns: int = 32) -> list[Strip]:
    folder.mkdir(exist_ok=True)
    lattice = Lattice.over(GRID.height, GRID.width, 256, 32)
    strips = [strip for block in lattice.blocks(2, most_columns) for strip in strips_of(lattice, block)]
    for strip in strips:
        rows = slice(strip.top, strip.top + strip.height)
        write_strip(folder, strip, bands[:, rows, strip.left : strip.left + strip.width])
    return strips


def written(
    folder: Path,
    scheme: ClassScheme,
    grid: Grid = GRID,
    landcover: bool = True,
    most_columns: int = 32,
    threads: int = 1,
) -> np.ndarray:
    bands = bands_of(scheme)
    strips = strips_with(folder / "strips", bands, most_columns)
    write_products(
        folder, products_of(scheme, landcover), Mosaic(folder / "strips", strips), grid, scheme, nobody, nobody, threads
    )
    return bands


@pytest.mark.parametrize("scheme", [SECOND, LANDSAT, MANY], ids=lambda scheme: scheme.name)
def test_products_hold_the_pixels_of_the_strips(tmp_path: Path, scheme: ClassScheme) -> None:
    bands = written(tmp_path, scheme)
    for name, band in zip(("change", "probability", "landcover_t1", "landcover_t2"), bands, strict=True):
        with rasterio.open(tmp_path / f"{name}.tif") as file:
            assert (file.read(1) == band).all()
            assert (file.crs, file.transform) == (GRID.crs, GRID.transform)
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.overviews(1)
            assert file.nodata == (scheme.nodata if name == "change" else 255)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (300, 512), (513, 1025), (700, 1100), (CELL + 1, 2 * CELL + 700)]
)
@pytest.mark.parametrize("scheme", [SECOND, MANY], ids=lambda scheme: scheme.name)
def test_a_product_is_to_the_byte_what_the_cog_driver_writes_of_its_pixels(
    tmp_path: Path, height: int, width: int, scheme: ClassScheme
) -> None:
    grid = Grid(GRID.crs, GRID.transform, height, width)
    random = np.random.default_rng(height)
    blobs = np.kron(random.integers(0, 9, (height // 7 + 1, width // 7 + 1)), np.ones((7, 7)))[:height, :width]
    strip = Strip(0, 0, 1, 0, 0, height, width)
    write_strip(tmp_path, strip, np.stack([blobs, random.integers(0, 101, blobs.shape)]).astype(scheme.code_dtype))
    products = products_of(scheme, landcover=False)
    write_products(tmp_path, products, Mosaic(tmp_path, [strip]), grid, scheme, nobody, nobody, 2)
    for product in products:
        copied = copied_by_the_driver(tmp_path / product.file_name, product, grid, scheme)
        assert (tmp_path / product.file_name).read_bytes() == copied.read_bytes()


def copied_by_the_driver(path: Path, product: Product, grid: Grid, scheme: ClassScheme) -> Path:
    """A COG that GDAL's driver makes of the pixels of a product and its overviews."""
    with rasterio.open(path) as file:
        levels = len(file.overviews(1))
    plain = [_plain_copy(path, {}), *(_plain_copy(path, {"overview_level": level}) for level in range(levels))]
    virtual = product_file._described(product, grid, scheme, [])
    band = next(virtual.iter("VRTRasterBand"))
    for tag, source in (("SimpleSource", plain[0]), *(("Overview", each) for each in plain[1:])):
        element = ET.SubElement(band, tag)
        ET.SubElement(element, "SourceFilename", relativeToVRT="0").text = str(source)
        ET.SubElement(element, "SourceBand").text = "1"
    copied = path.with_suffix(".copied.tif")
    with gdal_settings(), rasterio.open(ET.tostring(virtual, encoding="unicode")) as source:
        rasterio.shutil.copy(
            source, copied, driver="COG", blocksize=INTERNAL_TILE, bigtiff="IF_SAFER", overviews="FORCE_USE_EXISTING",
            **product.storage.of_cog,
        )  # fmt: skip
    return copied


def _plain_copy(path: Path, level: dict[str, int]) -> Path:
    copied = path.with_suffix(f".{level.get('overview_level', 'whole')}.tif")
    with rasterio.open(path, **level) as file, rasterio.open(
        copied, "w", driver="GTiff", count=1, height=file.height, width=file.width, dtype=file.dtypes[0]
    ) as plain:  # fmt: skip
        plain.write(file.read(1), 1)
    return copied


@dataclass(frozen=True)
class Wasteful(Storage):
    """Puts so many bytes behind each tile that no decoder looks at, as if it could not be compressed."""

    waste: int = 0

    def encoded(self, pixels: Pixels) -> list[bytes]:
        return [tile + bytes(self.waste) for tile in super().encoded(pixels)]


@pytest.mark.parametrize(
    ("reach", "size", "waste"),
    [(50_000, (700, 1100), 5_000), pytest.param(2**32, (1600, 2500), 2**32 // 28, marks=pytest.mark.long)],
    ids=["as if TIFFs held 50 kB", "of 4 GiB"],
)
@pytest.mark.parametrize("beyond", [False, True])
def test_tiles_beyond_what_a_tiff_holds_make_a_bigtiff_however_few_pixels_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach: int, size: tuple[int, int], waste: int, beyond: bool
) -> None:
    """GDAL decides by the pixels, which what they are compressed to could outgrow."""
    monkeypatch.setattr(pyramid, "reach_of", lambda header: reach if header.startswith(TIFF) else 2**64)
    strip = Strip(0, 0, 1, 0, 0, *size)
    blobs = np.kron(np.arange(size[0] // 50 * size[1] // 50).reshape(-1, size[1] // 50) % 37, np.ones((50, 50)))
    write_strip(tmp_path, strip, blobs[None].astype(np.uint8))
    change = replace(products_of(SECOND, landcover=False)[0], storage=Wasteful(6, waste=waste if beyond else 0))
    write_products(
        tmp_path,
        [change],
        Mosaic(tmp_path, [strip]),
        replace(GRID, height=size[0], width=size[1]),
        SECOND,
        nobody,
        nobody,
    )
    path = tmp_path / change.file_name
    with path.open("rb") as file:
        assert file.read(4) == (BIGTIFF if beyond else TIFF)
    assert (path.stat().st_size > reach) == beyond
    with rasterio.open(path) as written:
        assert (written.read(1) == blobs).all()
        assert written.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_change_tells_its_classes_names_and_colours(tmp_path: Path) -> None:
    written(tmp_path, SECOND, landcover=False)
    with rasterio.open(tmp_path / "change.tif") as file:
        assert scheme_from_json(file.tags()[CLASSES_TAG]) == SECOND
        colours = file.colormap(1)
    tree_to_building = SECOND.transitions[int(SECOND.encode(3, 5)) - 1]
    assert colours[tree_to_building.code][:3] == tree_to_building.colour
    assert colours[SECOND.nodata][3] == 0
    names = [each.text for each in ET.parse(tmp_path / "change.tif.aux.xml").iter("Category")]
    assert names[0] == "no change"
    assert names[tree_to_building.code] == "tree -> building"
    assert names[int(SECOND.encode(3, 3))] == "tree (changed within)"
    assert not (tmp_path / "landcover_t1.tif").exists()


def test_a_binary_scheme_has_one_code(tmp_path: Path) -> None:
    bands = written(tmp_path, BINARY, landcover=False)
    with rasterio.open(tmp_path / "change.tif") as file:
        assert (file.read(1) == bands[0]).all()
    assert [each.text for each in ET.parse(tmp_path / "change.tif.aux.xml").iter("Category")] == [
        "no change",
        "changed",
    ]


def test_images_without_georeferencing_stay_without(tmp_path: Path) -> None:
    bands = written(tmp_path, SECOND, grid=UNREFERENCED)
    with rasterio.open(tmp_path / "change.tif") as file:
        assert file.crs is None
        assert file.transform == Affine.identity()
        assert (file.read(1) == bands[0]).all()


def test_bytes_depend_neither_on_how_strips_are_cut_nor_on_threads(tmp_path: Path) -> None:
    hashes = []
    for name, most_columns, threads in (("one", 32, 1), ("two", 2, 1), ("eight threads", 32, 8)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, SECOND, most_columns=most_columns, threads=threads)
        files = sorted((tmp_path / name).glob("*.tif*"))
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert len(hashes[0]) == 7
    assert hashes[0] == hashes[1] == hashes[2]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.2, 0.5, 0.8, 0.99, 1.0])
def test_a_byte_of_a_product_that_is_not_what_was_written_is_noticed_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    write = Pyramid.write

    def write_and_flip_a_bit(pyramid: Pyramid, path: Path, header: bytes) -> dict[str, int | str]:
        described = write(pyramid, path, header)
        data = bytearray(path.read_bytes())
        data[int(share * (len(data) - 1))] ^= 1
        path.write_bytes(data)
        return described

    monkeypatch.setattr(Pyramid, "write", write_and_flip_a_bit)
    with pytest.raises(VerificationError, match="is not what was computed"):
        written(tmp_path, SECOND)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_product_that_is_cut_short_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Pyramid.write

    def write_and_cut(pyramid: Pyramid, path: Path, header: bytes) -> dict[str, int | str]:
        described = write(pyramid, path, header)
        os.truncate(path, path.stat().st_size - 1)
        return described

    monkeypatch.setattr(Pyramid, "write", write_and_cut)
    with pytest.raises(VerificationError, match="is not what was computed"):
        written(tmp_path, SECOND)


def test_pixels_that_gdal_does_not_compress_to_what_they_are_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flipping(MemoryFile):  # type: ignore[misc]  # rasterio tells no types
        """A file in memory that holds other pixels than it was given."""

        def open(self, **options: Any) -> Any:
            file = super().open(**options)
            write = getattr(file, "write", None)
            if write is not None:
                file.write = lambda pixels, band: write(pixels ^ 1, band)
            return file

    monkeypatch.setattr(storage, "MemoryFile", Flipping)
    with pytest.raises(VerificationError, match="not compressed to what they are"):
        written(tmp_path, SECOND)


def test_a_strip_that_is_not_what_was_written_is_named(tmp_path: Path) -> None:
    strips = strips_with(tmp_path, bands_of(SECOND))
    with rasterio.open(tmp_path / strips[1].name, "r+") as file:
        file.write(file.read() ^ 1)
    with pytest.raises(VerificationError, match=rf"{strips[1].name}: is not what was written"):
        write_products(
            tmp_path, products_of(SECOND, landcover=False), Mosaic(tmp_path, strips), GRID, SECOND, nobody, nobody
        )
    assert not list(tmp_path.glob("change*")) + list(tmp_path.glob("probability*"))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_full_disk_is_an_output_error_and_leaves_nothing_of_the_raster(tmp_path: Path, share: float) -> None:
    strips, whole = strips_with(tmp_path, bands_of(SECOND)), tmp_path / "whole"
    whole.mkdir()
    product = products_of(SECOND, landcover=False)[1]
    write_products(whole, [product], Mosaic(tmp_path, strips), GRID, SECOND, nobody, nobody)
    (tmp_path / "small").mkdir()
    with (
        files_of_at_most(int(share * (whole / product.file_name).stat().st_size)),
        pytest.raises(OutputError, match=r"probability\.tif: cannot write: .*; free some space"),
    ):
        write_products(tmp_path / "small", [product], Mosaic(tmp_path, strips), GRID, SECOND, nobody, nobody)
    assert not list((tmp_path / "small").iterdir())
