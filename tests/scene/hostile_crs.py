"""CRSs that make PROJ open the file SECRET, as soon as something is projected or before."""

from __future__ import annotations

GEOGRAPHIC = (
    'GEOGCS["x",DATUM["x",SPHEROID["x",6378137,298.257223563]{}],PRIMEM["x",0],UNIT["degree",0.0174532925199433]{}]'
)
LONLAT = 'CS[ellipsoidal,2],AXIS["lon",east],AXIS["lat",north],ANGLEUNIT["degree",0.0174532925199433]'
ELLIPSOID = 'ELLIPSOID["WGS 84",6378137,298.257223563]'
BOUND = (
    f'BOUNDCRS[SOURCECRS[GEOGCRS["x",DATUM["x",{ELLIPSOID}],{LONLAT}]],TARGETCRS[GEOGCRS["WGS 84",'
    f'DATUM["World Geodetic System 1984",{ELLIPSOID}],{LONLAT},ID["EPSG",4326]]],ABRIDGEDTRANSFORMATION["x",%s]]'
)
NTV2 = 'METHOD["NTv2",ID["EPSG",9615]],PARAMETERFILE["Latitude and longitude {}difference file","{}",ID["EPSG",8656]]'
DERIVED = (
    f'GEOGCRS["x",BASEGEOGCRS["x",DATUM["World Geodetic System 1984",{ELLIPSOID}]],'
    f'DERIVINGCONVERSION["x",METHOD["%s"]],{LONLAT}]'
)
OPERATION = "PROJ-based operation method: +proj="


def _proj4(text: str) -> str:
    return GEOGRAPHIC.format("", f',EXTENSION["PROJ4","+proj={text} +type=crs"]')


HOSTILE = {
    "text of PROJ's": _proj4("longlat +ellps=WGS84 +nadgrids=SECRET"),
    "with a space": _proj4("longlat +ellps=WGS84 +nadgrids= SECRET"),
    "with spaces": _proj4("longlat +ellps=WGS84 +nadgrids = SECRET"),
    "with quotes": _proj4('longlat +ellps=WGS84 +nadgrids=""SECRET""'),
    "with triangles": _proj4("tinshift +file=SECRET"),
    "old grid": GEOGRAPHIC.format(',EXTENSION["PROJ4_GRIDS","SECRET"]', ""),
    "old quoted grid": GEOGRAPHIC.format(',EXTENSION["PROJ4_GRIDS","""SECRET"""]', ""),
    "vertical grid": (
        f'COMPD_CS["x",{GEOGRAPHIC.format("", "")},VERT_CS["x",VERT_DATUM["x",2005,EXTENSION["PROJ4_GRIDS","SECRET"]],'
        'UNIT["metre",1],AXIS["Up",UP]]]'
    ),
    "grid": BOUND % NTV2.format("", "SECRET"),
    "quoted grid": BOUND % NTV2.format("", '""SECRET""'),
    "grid of a quoted name": BOUND % NTV2.format('""', "SECRET"),
    "operation": BOUND % f'METHOD["{OPERATION}pipeline +step +proj=tinshift +file=SECRET"]',
    "operation with quotes": BOUND % f'METHOD["{OPERATION}hgridshift +grids=""SECRET"""]',
    "operation by a model": BOUND % f'METHOD["{OPERATION}defmodel +model=SECRET"]',
    "derived": DERIVED % f"{OPERATION}tinshift +file=SECRET",
    "derived by a model": DERIVED % f"{OPERATION}defmodel +model=SECRET",
    "derived with quotes": DERIVED % f'{OPERATION}hgridshift +grids=""SECRET""',
    "derived in short": DERIVED % "PROJ tinshift file=SECRET",
}
