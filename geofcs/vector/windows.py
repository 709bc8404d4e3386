"""How a raster is cut into blocks for polygonising: each sees one line of pixels of its upper and left neighbours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Pixels [top, top + height) x [left, left + width) of a raster of `raster_shape`.

    Its *window* also holds the last line of the blocks above and to the left, so that neighbours share a line of pixels
    and every 2 x 2 pixels lie in exactly one window. Around the raster lies a line of "no change".
    """

    top: int
    left: int
    height: int
    width: int
    raster_shape: tuple[int, int]

    @property
    def window_shape(self) -> tuple[int, int]:
        """(height, width) of the window."""
        at_bottom = self.top + self.height == self.raster_shape[0]
        at_right = self.left + self.width == self.raster_shape[1]
        return self.height + 1 + at_bottom, self.width + 1 + at_right

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the raster that the window holds."""
        rows = slice(max(self.top - 1, 0), self.top + self.height)
        return rows, slice(max(self.left - 1, 0), self.left + self.width)


def block_rows(height: int, width: int, side: int) -> list[list[Block]]:
    """The raster's blocks of at most `side` pixels a side: one list per row of blocks, from the top."""
    return [
        [
            Block(top, left, min(side, height - top), min(side, width - left), (height, width))
            for left in range(0, width, side)
        ]
        for top in range(0, height, side)
    ]
