"""What trained weights are worth: change F1 on held-out made-up worlds and on real pairs, beside a simple baseline.

python examples/judge_weights.py [--weights FILE] [--real FOLDER] [--json]

The baseline is change vector analysis: bands of either date standardised, the length of the difference, Otsu's
threshold. Both see the same pixels, as `geofcs detect` reads them. Real pairs are read where somebody has them: they
are no part of the project.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from PIL import Image
from rasterio.windows import Window

from geofcs.classes import LANDSAT, SECOND, ClassScheme
from geofcs.detect import detect
from geofcs.gdal import gdal_settings
from geofcs.model.inference import PREPARED
from geofcs.model.maps import Maps
from geofcs.model.shipped import SHIPPED
from geofcs.model.weights import load_weights
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions, plan_pair
from geofcs.synthetic import Nuisances, SceneParameters, scene_pixels
from geofcs.training.losses import Labels
from geofcs.training.metrics import ChangeMetrics

Mask = npt.NDArray[np.bool_]

MARK = 0.05
"""By how much the change F1 of good weights is above the baseline's."""

SURE = 0.05
"""Margin of the highest softmax score over the next from which on rounding must not change a class."""

WINDOW = 128
"""Pixels a side of the images that intervals draw from: windows of the pairs."""

HELD_OUT_SEED = 1_000_003
"""Training draws its worlds from hashes of its seed; none is this one or the next few."""

LEVIR, SECOND_PAIR = "LEVIR-CD crops", "SECOND pair"
OSCD = {"OSCD Abu Dhabi": "oscd_abudhabi", "OSCD Rennes": "oscd_rennes"}


@dataclass(frozen=True)
class Judged:
    """One set of pairs: share of truly changed pixels, F1 of change of weights and baseline with 95 % intervals."""

    name: str
    real: bool
    pairs: int
    changed: float
    f1: float
    f1_interval: tuple[float, float]
    precision: float
    recall: float
    baseline: float
    baseline_interval: tuple[float, float]

    @property
    def passes(self) -> bool:
        """Whether the weights are above the baseline by the mark."""
        return self.f1 >= self.baseline + MARK


@dataclass(frozen=True)
class Pair:
    """Two GeoTIFFs and where (height, width) on the first one's grid they truly differ."""

    t1: Path
    t2: Path
    changed: Mask


@dataclass(frozen=True)
class Worlds:
    """Held-out made-up pairs of `side` pixels: pixel sizes that training never uses, nuisances of a fixed strength."""

    name: str
    scheme: ClassScheme
    gsds: tuple[float, ...]
    nuisances: float
    change: float = 2.0
    pairs: int = 9
    side: int = 256

    def written(self, folder: Path) -> Iterator[Pair]:
        """The pairs, as files."""
        for number in range(self.pairs):
            parameters = SceneParameters(
                HELD_OUT_SEED + number, self.scheme, self.gsds[number % len(self.gsds)], self.change,
                Nuisances.all_of(self.nuisances),
            )  # fmt: skip
            pixels = scene_pixels(parameters, 5000, 9000, self.side, self.side)
            yield Pair(
                written(folder / f"{number}_1.tif", pixels.t1),
                written(folder / f"{number}_2.tif", pixels.t2),
                pixels.codes > 0,
            )


HELD_OUT = (
    Worlds("towns, 0.4 to 1.6 m", SECOND, (0.43, 0.77, 1.55), 1.0),
    Worlds("towns, 3 to 6 m", SECOND, (3.1, 4.3, 6.2), 1.0, side=192),
    Worlds("regions, 13 to 27 m", LANDSAT, (13.0, 19.0, 27.0), 1.0),
    Worlds("towns, nuisances beyond training's", SECOND, (0.5, 0.9, 1.8), 2.5),
)


def main() -> None:
    """Judge, and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="default: those inside the package")
    parser.add_argument("--real", type=Path, help="a folder with oscd_abudhabi, oscd_rennes, levir_cd, ...")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = options.weights or SHIPPED
    rows = list(judgements(chosen, options.real))
    if options.json:
        print(json.dumps([{**asdict(row), "passes": row.passes} for row in rows], indent=1))
        return
    print("| pairs | changed | F1 | precision | recall | F1 of the baseline | mark |\n|---|---|---|---|---|---|---|")
    for row in rows:
        print(line_of(row))
    sure, equal = bfloat16_agreement(chosen)
    print(f"\nWhere float32 is sure ({sure:.1%} of all classes of pixels), bfloat16 says the same in {equal:.3%}.")


def line_of(row: Judged) -> str:
    """A row of the model card's table."""
    cells = (
        f"{row.name} ({row.pairs})",
        f"{row.changed:.1%}",
        with_interval(row.f1, row.f1_interval),
        f"{row.precision:.3f}",
        f"{row.recall:.3f}",
        with_interval(row.baseline, row.baseline_interval),
        "above by the mark" if row.passes else "missed",
    )
    return f"| {' | '.join(cells)} |"


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """The number, and where it lies in 95 of 100 sets of pairs like these."""
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def judgements(weights: Path, real: Path | None) -> Iterator[Judged]:
    """Every set of held-out worlds, then every set of real pairs that lies in a folder."""
    for worlds in HELD_OUT:
        with tempfile.TemporaryDirectory() as folder:
            yield judged(worlds.name, weights, worlds.written(Path(folder)), real=False)
    if real is not None:
        for name in (*OSCD, LEVIR, SECOND_PAIR):
            with tempfile.TemporaryDirectory() as folder:
                yield judged(name, weights, real_pairs(name, real, Path(folder)), real=True)


def judged(name: str, weights: Path, pairs: Iterator[Pair], *, real: bool) -> Judged:
    """Weights and baseline on the same pixels of all pairs."""
    ours, baseline = (ChangeMetrics(1, keep_images=True) for _ in range(2))
    count = pixels = changed = 0
    for pair in pairs:
        found, by_vectors, valid = compared(pair, weights)
        count, pixels, changed = count + 1, pixels + int(valid.sum()), changed + int(pair.changed[valid].sum())
        for rows, cols in windows_of(valid.shape):
            truth = np.where(valid, pair.changed, 255)[rows, cols]
            for metrics, said in ((ours, found), (baseline, by_vectors)):
                metrics.update(Maps(tensor(said[rows, cols]), None, None), Labels(tensor(truth), None, None))
    quality, simple = ours.quality(), baseline.quality()
    numbers = {key: value or 0.0 for key, value in quality.numbers.items()}
    return Judged(
        name, real, count, changed / pixels, numbers["f1"], interval_of(quality), numbers["precision"],
        numbers["recall"], simple.numbers["f1"] or 0.0, interval_of(simple),
    )  # fmt: skip


def bfloat16_agreement(weights: Path) -> tuple[float, float]:
    """How often float32 is sure, its softmax margin above `SURE`, and how often bfloat16 then gives the same class.

    Counted over both dates' land cover and change, on held-out towns.
    """
    model = load_weights(weights).model
    exact, rounded = (PREPARED[model.config.architecture](model, dtype) for dtype in (torch.float32, torch.bfloat16))
    counts = np.zeros(3)
    for number in range(6):
        parameters = SceneParameters(HELD_OUT_SEED + 100 + number, SECOND, 0.5 + 0.3 * number, 2.0)
        pixels = scene_pixels(parameters, 5000, 9000, 256, 256)
        images = [torch.from_numpy(image)[None].float() for image in (pixels.t1, pixels.t2)]
        with torch.inference_mode():
            for reference, logits in zip(exact(*images), rounded(*images), strict=True):
                assert reference is not None and logits is not None, "the model is not binary"
                first, second = reference.softmax(1).topk(2, 1).values.unbind(1)
                sure = first - second > SURE
                equal = (logits.argmax(1) == reference.argmax(1)) & sure
                counts += [sure.numel(), int(sure.sum()), int(equal.sum())]
    return counts[1] / counts[0], counts[2] / counts[1]


def compared(pair: Pair, weights: Path) -> tuple[Mask, Mask, Mask]:
    """Where `geofcs detect` finds change, where the baseline does, and where both dates are valid."""
    options = SceneOptions(assume_aligned=not is_georeferenced(pair.t1))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        detect(DetectRequest(str(pair.t1), str(pair.t2), out, weights, scene=options, workers=1), Silence())
        with rasterio.open(out / "change.tif") as file:
            codes, nodata = file.read(1), file.nodata
    scenes = plan_pair(str(pair.t1), str(pair.t2), options)
    with gdal_settings(), scenes.open() as reader:
        read = reader.read(Window(0, 0, scenes.grid.width, scenes.grid.height))
    return (codes > 0) & (codes != nodata), vector_change(read.t1, read.t2, read.valid), read.valid & (codes != nodata)


def vector_change(t1: npt.NDArray[Any], t2: npt.NDArray[Any], valid: Mask) -> Mask:
    """Change vector analysis of two images (bands, height, width): where their difference is large, by Otsu."""
    first, second = (standardised(image, valid) for image in (t1, t2))
    length = np.sqrt(((second - first) ** 2).sum(0))
    changed: Mask = length > otsu(length[valid])
    return changed


def standardised(image: npt.NDArray[Any], valid: Mask) -> npt.NDArray[np.float64]:
    """Each band with mean 0 and standard deviation 1."""
    inside = image[:, valid].astype(np.float64)
    mean, deviation = inside.mean(1)[:, None, None], inside.std(1)[:, None, None]
    scaled: npt.NDArray[np.float64] = (image - mean) / np.maximum(deviation, 1e-9)
    return scaled


def otsu(values: npt.NDArray[np.float64], bins: int = 256) -> float:
    """The threshold that parts values into two classes of the largest variance between them (Otsu, 1979)."""
    counts, edges = np.histogram(values, bins)
    middles = (edges[:-1] + edges[1:]) / 2
    below, mass = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    parted = (below > 0) & (above > 0)
    between = np.zeros(bins)
    between[parted] = (mass[-1] * below[parted] / below[-1] - mass[parted]) ** 2 / (below * above)[parted]
    return float(edges[1:][between.argmax()])


def real_pairs(name: str, real: Path, folder: Path) -> Iterator[Pair]:
    """The labelled pairs of that name in the folder of real ones."""
    if name in OSCD:
        place = real / OSCD[name]
        with rasterio.open(place / "change_1no_2yes.tif") as file:
            yield Pair(place / "t1.tif", place / "t2.tif", file.read(1) == 2)
        return
    place, dates = (real / "levir_cd", ("A", "B")) if name == LEVIR else (real / "second_rgb_labels", ("im1", "im2"))
    for path in sorted((place / dates[0]).iterdir()):
        t1, t2 = (written(folder / f"{path.stem}_{date}.tif", pixels_of(place / date / path.name)) for date in dates)
        label = pixels_of(place / ("label" if name == LEVIR else "label1") / path.name)
        yield Pair(t1, t2, label[0] > 127 if name == LEVIR else (label != 255).any(0))


def pixels_of(path: Path) -> npt.NDArray[np.uint8]:
    """(3, height, width)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def written(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    """A GeoTIFF without georeferencing."""
    count, height, width = pixels.shape
    with (
        gdal_settings(),
        rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype="uint8") as file,
    ):
        file.write(pixels)
    return path


def is_georeferenced(path: Path) -> bool:
    """Whether a GeoTIFF says where it lies."""
    with gdal_settings(), rasterio.open(path) as file:
        return file.crs is not None


def windows_of(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Windows that cover an image."""
    for row in range(0, shape[0], WINDOW):
        for col in range(0, shape[1], WINDOW):
            yield slice(row, row + WINDOW), slice(col, col + WINDOW)


def tensor(mask: npt.NDArray[Any]) -> torch.Tensor:
    """(1, height, width) of whole numbers."""
    return torch.from_numpy(mask.astype(np.int64))[None]


def interval_of(quality: Any) -> tuple[float, float]:
    """The interval of F1; 0 to 1 where there is none."""
    found = quality.intervals.get("f1")
    return (0.0, 1.0) if found is None else (float(found[0]), float(found[1]))


class Silence:
    """Hears of a run and says nothing."""

    def note(self, sentence: str) -> None:
        """Nothing."""

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """Nothing."""

    def advance(self, units: int) -> None:
        """Nothing."""


if __name__ == "__main__":
    main()
