"""The colours of a change layer, as the default style that QGIS finds inside a GeoPackage."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

import pandas as pd

from geofcs.classes import Transition

STYLE_TABLE = "layer_styles"


def style_table(layer: str, geometry: str, transitions: Iterable[Transition]) -> pd.DataFrame:
    """The one row of QGIS's table `layer_styles` that colours `layer` by code."""
    return pd.DataFrame(
        {
            "f_table_catalog": [""],
            "f_table_schema": [""],
            "f_table_name": [layer],
            "f_geometry_column": [geometry],
            "styleName": ["from-to"],
            "styleQML": [_qml(transitions)],
            "styleSLD": [""],
            "useAsDefault": [True],
            "description": ["Colours of the class scheme, by from-to code"],
            "owner": [""],
        }
    )


def _qml(transitions: Iterable[Transition]) -> str:
    """A categorised renderer: one fill per code."""
    root = ET.Element("qgis", version="3.28.0", styleCategories="Symbology")
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="code", forceraster="0")
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, each in enumerate(transitions):
        ET.SubElement(
            categories, "category",
            symbol=str(index), value=str(each.code), type="long", label=each.name, render="true",
        )  # fmt: skip
        symbol = ET.SubElement(symbols, "symbol", name=str(index), type="fill", alpha="1")
        fill = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0"})
        options = ET.SubElement(fill, "Option", type="Map")
        red, green, blue = each.colour
        for name, value in (("color", f"{red},{green},{blue},255"), ("style", "solid"), ("outline_style", "no")):
            ET.SubElement(options, "Option", name=name, type="QString", value=value)
    return ET.tostring(root, encoding="unicode")
