"""A finished output with every kind of product, made by the real writers without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from geofcs.classes import SECOND, ClassScheme
from geofcs.grid import Grid
from geofcs.journal import Journal
from geofcs.mosaic import Mosaic
from geofcs.product import Product, products_of
from geofcs.raster import products_begun
from geofcs.records import Described, lasting
from geofcs.strips import strips_of, write_strip
from geofcs.tiles import Lattice
from geofcs.vector.polygonize import polygonize

GRID = Grid(CRS.from_epsg(32631), Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), 600, 700)
PLAN = {"tile": 256}


def write_products(
    folder: Path,
    products: Sequence[Product],
    mosaic: Mosaic,
    grid: Grid,
    scheme: ClassScheme,
    progress: Callable[[int], None],
    finished: Callable[[Described], None],
    threads: int = 1,
) -> None:
    """Write and compare products whose strips are all there."""
    with products_begun(folder, products, mosaic, grid, scheme, threads) as begun:
        begun.finish(progress, finished)


def write_output(out: Path) -> None:
    """Blobs of 20 pixels of random codes; all four rasters have overviews."""
    random, shape = np.random.default_rng(5), (GRID.height // 20, GRID.width // 20)
    highest = (len(SECOND.transitions) + 1, 101, SECOND.count, SECOND.count)
    bands = np.stack([np.kron(random.integers(0, high, shape), np.ones((20, 20), int)) for high in highest])
    journal = Journal(out)
    journal.begin(PLAN, restart=False)
    lattice, folder = Lattice.over(GRID.height, GRID.width, 256, 32), journal.strips(PLAN)
    strips = [strip for block in lattice.blocks(1) for strip in strips_of(lattice, block)]
    for strip in strips:
        write_strip(folder, strip, bands[:, strip.top : strip.top + strip.height].astype(SECOND.code_dtype))

    write_products(
        journal.staging,
        products_of(SECOND, landcover=True),
        Mosaic(folder, strips),
        GRID,
        SECOND,
        lambda _: None,
        journal.finish,
    )
    counts = polygonize(journal.staging / "change.tif", journal.staging / "changes.gpkg")
    journal.finish(lasting(journal.staging, ["changes.gpkg"]))
    journal.complete({"plan": PLAN, "polygons": {}, "counts": asdict(counts)})
    journal.publish()
