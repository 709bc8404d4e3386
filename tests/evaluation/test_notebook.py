"""The notebook runs from its first cell to its last."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[2] / "examples" / "evaluate.ipynb"


def run(cells: list[str]) -> dict[str, Any]:
    """Run cells one after the other, as a notebook would; returns their names. Last expressions are evaluated too."""
    names: dict[str, Any] = {"shown_last": []}
    for number, cell in enumerate(cells):
        tree = ast.parse(cell)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            names["shown_last"].append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names))
    return names


def test_every_cell_runs_and_the_picture_is_annotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names = run(["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"])
    pictures = [each for each in names["shown_last"] if isinstance(each, Image.Image)]
    assert len(pictures) == 3 and len(names["each"]) == 6
    assert [quality.protocol for quality in names["report"].qualities] == ["per-date", "from-to"]
    assert any(text.get_text().endswith(" px") for text in names["picture"].texts)
    assert (tmp_path / "annotated.png").stat().st_size > 10_000


def test_the_notebook_carries_no_outputs() -> None:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in content["cells"])
