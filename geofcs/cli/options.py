"""The options of `geofcs detect`, each with its help; three panels order them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

GRID, TILES, OUTPUT = "What is compared", "How it is computed", "What is written"


class Precision(StrEnum):
    """Number formats of the model's arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class WorkerKind(StrEnum):
    """What workers are."""

    AUTO = "auto"
    THREADS = "threads"
    PROCESSES = "processes"


class TileError(StrEnum):
    """What becomes of tiles that cannot be computed."""

    FAIL = "fail"
    NODATA = "nodata"


T1_HELP, T2_HELP = "The earlier scene, a GeoTIFF; its pixels are the grid.", "The later scene, a GeoTIFF on any grid."
T1 = Annotated[str, Argument(metavar="T1", help=T1_HELP)]
T2 = Annotated[str, Argument(metavar="T2", help=T2_HELP)]
T1OrList = Annotated[str | None, Argument(metavar="T1", show_default=False, help=T1_HELP)]
T2OrList = Annotated[str | None, Argument(metavar="T2", show_default=False, help=T2_HELP)]
Pairs = Annotated[
    Path | None,
    Option(
        metavar="LIST.csv",
        help="Many pairs, one a line: columns t1, t2 and, as you like, out, date_t1, date_t2, mask_t1, mask_t2. "
        "Outputs without a name go into -o, by default beside the list.",
        rich_help_panel=GRID,
    ),
]
Weights = Annotated[
    str | None,
    Option(help="Trained weights, a .safetensors file; see geofcs weights. Default: the small ones in the package."),
]

Bands = Annotated[
    str | None, Option(help="Red, green and blue of both scenes by number or name: 3,2,1.", rich_help_panel=GRID)
]
BandsT1 = Annotated[str | None, Option(help="The same for T1 alone.", rich_help_panel=GRID)]
BandsT2 = Annotated[str | None, Option(help="The same for T2 alone.", rich_help_panel=GRID)]
Aoi = Annotated[
    str | None,
    Option(
        help="Look only here: a vector file, or XMIN,YMIN,XMAX,YMAX in T1's CRS (or with ,EPSG:4326 behind).",
        rich_help_panel=GRID,
    ),
]
MaskT1 = Annotated[
    str | None, Option(help="A raster whose nonzero pixels are left out of T1: clouds.", rich_help_panel=GRID)
]
MaskT2 = Annotated[str | None, Option(help="The same for T2.", rich_help_panel=GRID)]
Scale = Annotated[
    str | None,
    Option(
        help="MIN,MAX: the values that become 0 and 255. Default: uint8 as it is, else percentiles 2 and 98.",
        rich_help_panel=GRID,
    ),
]
ScalePerDate = Annotated[
    bool, Option("--scale-per-date", help="Take the percentiles of each date alone.", rich_help_panel=GRID)
]
Resampling = Annotated[
    str | None,
    Option(help="How T2 is resampled. Default: bilinear, or average where it is much finer.", rich_help_panel=GRID),
]
AssumeCrs = Annotated[
    str | None, Option(help="The CRS of every scene that has none, as EPSG:32631.", rich_help_panel=GRID)
]
AllowDrivers = Annotated[
    list[str] | None,
    Option(
        "--allow-driver",
        help="Also read virtual rasters (VRT), another format (JP2OpenJPEG, PNG), or in a zip, tar or gzip. Repeat for "
        "more.",
        rich_help_panel=GRID,
    ),
]
AllowSources = Annotated[
    list[str] | None,
    Option(
        "--allow-source",
        help="A folder that a VRT or a list of pairs may name files in, besides its own; for lists an address as well. "
        "Repeat for more.",
        rich_help_panel=GRID,
    ),
]
AssumeAligned = Annotated[
    bool, Option("--assume-aligned", help="Compare two equal images without CRS.", rich_help_panel=GRID)
]

Threshold = Annotated[float, Option(help="Changed means a change score above this.", rich_help_panel=TILES)]
Tile = Annotated[
    int | None, Option(min=32, help="Pixels a side that the model sees. Default: the weights'.", rich_help_panel=TILES)
]
Overlap = Annotated[
    int | None, Option(min=0, help="Pixels that tiles share. Default: an eighth of the tile.", rich_help_panel=TILES)
]
Batch = Annotated[int | None, Option(min=1, help="Tiles per model call. Default: 1, on CUDA 8.", rich_help_panel=TILES)]
Device = Annotated[
    str, Option(help="auto, cpu, mps, cuda (all GPUs), or cuda:0,2 (those with the numbers).", rich_help_panel=TILES)
]
ModelPrecision = Annotated[
    Precision, Option(help="Arithmetic of the model; auto is fp32 on a CPU.", rich_help_panel=TILES)
]
Tta = Annotated[
    str,
    Option(help="none, or flips: the mean over the four flips, at four times the time.", rich_help_panel=TILES),
]
Threads = Annotated[
    int | None,
    Option(min=1, help="CPU threads per model call. Default: 1.", rich_help_panel=TILES),
]
Workers = Annotated[
    int | None,
    Option(
        min=1,
        help="Blocks computed at once, on GPUs processes; changes no byte. Default: as cores and memory allow, one "
        "per GPU.",
        rich_help_panel=TILES,
    ),
]
WorkersAre = Annotated[
    WorkerKind,
    Option("--worker-kind", help="Threads of one process, or processes. Default: as is faster.", rich_help_panel=TILES),
]
Scheduler = Annotated[
    str | None,
    Option(
        metavar="ADDRESS",
        help="Compute on the Dask cluster of this scheduler, tls://HOST:PORT or tcp://HOST:PORT (docs/cluster.md).",
        rich_help_panel=TILES,
    ),
]
OnTileError = Annotated[
    TileError,
    Option(help="Tiles that cannot be computed end the run, or become nodata (exit code 7).", rich_help_panel=TILES),
]
Stall = Annotated[
    float,
    Option(
        min=0,
        metavar="MINUTES",
        help="End the run when no tile has been finished for so long; 0: never.",
        rich_help_panel=TILES,
    ),
]

Out = Annotated[
    Path | None, Option("-o", "--out", help="The output folder. Default: ./T1_T2_change.", rich_help_panel=OUTPUT)
]
Landcover = Annotated[
    bool, Option("--landcover", help="Also write landcover_t1.tif and landcover_t2.tif.", rich_help_panel=OUTPUT)
]
MinArea = Annotated[
    float, Option(min=0, help="Leave out polygons below this many m2; rasters keep them.", rich_help_panel=OUTPUT)
]
MaxPolygons = Annotated[int, Option(min=1, help="Stop rather than write more polygons.", rich_help_panel=OUTPUT)]
DateT1 = Annotated[
    str | None, Option(help="Date of T1 for the polygons. Default: the file's, if it has one.", rich_help_panel=OUTPUT)
]
DateT2 = Annotated[str | None, Option(help="Date of T2, likewise.", rich_help_panel=OUTPUT)]
Overwrite = Annotated[
    bool,
    Option("--overwrite", help="Replace a finished output, once the new one is complete.", rich_help_panel=OUTPUT),
]
Restart = Annotated[bool, Option("--restart", help="Begin anew where an unfinished run lies.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, Option("-q", "--quiet", help="Say nothing but errors.")]
Json = Annotated[bool, Option("--json", help="Print progress and result as JSON lines.")]
