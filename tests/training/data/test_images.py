"""Small images: read for what they are, and nothing else is done with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.errors import InputError
from geofcs.training.data.images import image_size, read_image, read_values

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("read", [read_image, read_values, image_size])
def test_a_program_called_an_image_is_not_run(read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("it was run"))
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image \(cannot identify image file"):
        read(tmp_path / "a.png")  # type: ignore[operator]
