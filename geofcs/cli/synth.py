"""`geofcs synth`: a made-up pair of scenes of any size, with the truth about what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Out = Annotated[Path, Argument(metavar="OUT", help="Folder for t1.tif, t2.tif and change.tif.")]
Size = Annotated[str, Option(help="Pixels a side, or HEIGHT,WIDTH.")]
Seed = Annotated[int, Option(help="Another seed, another world.")]
Classes = Annotated[str, Option(help="second, landsat or binary.")]
Gsd = Annotated[float | None, Option(help="Pixel size in metres. Default: 0.5, for landsat 30.")]
Change = Annotated[float, Option(help="How much truly changes; 1 is usual, 0 nothing.")]
Nuisance = Annotated[float, Option(help="How much the dates differ without change: light, season, haze, shift.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace scenes that are there.")]
Quiet = Annotated[bool, Option("-q", "--quiet", help="Say nothing but errors.")]


def synth(
    out: Out,
    size: Size = "4096",
    seed: Seed = 1,
    classes: Classes = "second",
    gsd: Gsd = None,
    change: Change = 1.0,
    nuisance: Nuisance = 1.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make up two scenes of one place and the true map of what changed between them.

    The same seed gives the same bytes. Memory does not depend on the size.
    """
    from geofcs.classes import scheme_named
    from geofcs.cli.progress import listener_for
    from geofcs.cli.terminal import stderr
    from geofcs.synthetic import DEFAULT_GSD, Nuisances, SceneParameters
    from geofcs.synthetic.write import extent_of, write_scenes

    scheme, extent = scheme_named(classes), extent_of(size)
    parameters = SceneParameters(
        seed=seed, scheme=scheme, gsd=DEFAULT_GSD[scheme.name] if gsd is None else gsd, change=change,
        nuisances=Nuisances.all_of(nuisance),
    )  # fmt: skip
    with listener_for(quiet=quiet, as_json=False) as listener:
        listener.stage("scenes", extent.height * extent.width, "px", 1)
        paths = write_scenes(out, parameters, extent, overwrite=overwrite, progress=listener.advance)
    if not quiet:
        stderr.print(f"{', '.join(path.name for path in paths)} in {out}/", markup=False)
