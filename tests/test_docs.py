"""The documentation says what is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("kernels/*.md")])


def test_the_page_of_commands_is_what_make_docs_writes(tmp_path: Path) -> None:
    page = tmp_path / "cli.md"
    command = [sys.executable, "-m", "typer", "geofcs.cli.app", "utils", "docs", "--name", "geofcs"]
    subprocess.run([*command, "--title", "Commands and options", "--output", str(page)], check=True, cwd=ROOT)
    assert page.read_text() == (ROOT / "docs" / "cli.md").read_text(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
