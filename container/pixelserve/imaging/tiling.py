"""Running a network over a picture tile by tile: memory bounded by the tile, not the picture.

Exact: each tile is read with so much of its surroundings (`overlap`, at least the network's reach) that what it writes
is what the whole picture would give. Feathered: where the reach is too far to afford, tiles are laid over one another
with a linear fade `2 * overlap` pixels wide, which hides the joints and leaves a difference that the overlap bounds
only in practice.

Networks take what lies beyond their input for black. So that this does not show at the picture's edge, a tile there is
read with a `border` of repeated edge pixels.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelserve.errors import OutOfMemory
from pixelserve.imaging.image import Pixels

SMALLEST_TILE = 32

EnlargeTile = Callable[[Pixels], Pixels]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Tiles:
    """How to cut: a tile writes at most `tile`² input pixels; where it starts is a multiple of `multiple`.

    `border` is a multiple of it, too. The widths of what is read are multiples of `width_multiple`: 1, or one of both.
    """

    scale: int
    tile: int
    overlap: int
    feathered: bool = False
    multiple: int = 1
    border: int = 0
    width_multiple: int = 1


@dataclass(frozen=True)
class _Block:
    top: int
    left: int
    height: int
    width: int

    def halves(self, multiple: int) -> list[_Block]:
        """The block cut in both directions, in reading order."""
        return [
            _Block(self.top + y, self.left + x, height, width)
            for y, height in _cuts(self.height, math.ceil(self.height / 2), multiple)
            for x, width in _cuts(self.width, math.ceil(self.width / 2), multiple)
        ]


def run_tiled(
    network: EnlargeTile,
    pixels: Pixels,
    tiles: Tiles,
    progress: Progress | None = None,
    is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, MemoryError),
) -> Pixels:
    """`network` over `pixels` (H, W, C), written as (H * scale, W * scale, C) of the same dtype.

    `network` maps (h, w, C) to (h * scale, w * scale, C). `progress` is called with the input pixels done and their
    total after each tile, and may raise to stop. When memory runs out the tile is cut into four, down to 32 pixels;
    then OutOfMemory is raised.
    """
    height, width, channels = pixels.shape
    out = np.empty((height * tiles.scale, width * tiles.scale, channels), pixels.dtype)
    blocks = deque(_blocks(height, width, tiles))
    largest, done = max(block.height * block.width for block in blocks), 0
    while blocks:
        block = blocks.popleft()
        if block.height * block.width <= largest:
            try:
                _run_block(network, pixels, block, tiles, out)
            except BaseException as error:
                if not is_out_of_memory(error):
                    raise
                largest = block.height * block.width // 4
                if largest < SMALLEST_TILE**2:
                    raise OutOfMemory("Memory ran out even on the smallest tile. Use a larger instance.") from error
            else:
                done += block.height * block.width
                if progress is not None:
                    progress(done, height * width)
                continue
        blocks.extendleft(reversed(block.halves(tiles.multiple)))
    return out


def read_pixels(height: int, width: int, tiles: Tiles) -> list[int]:
    """How many input pixels a network is given for each tile of a picture, surroundings included."""
    parts = (_read_part(block, height, width, tiles) for block in _blocks(height, width, tiles))
    return [(bottom - top) * (right - left) for top, left, bottom, right in parts]


def _blocks(height: int, width: int, tiles: Tiles) -> list[_Block]:
    return [
        _Block(top, left, rows, columns)
        for top, rows in _cuts(height, tiles.tile, tiles.multiple)
        for left, columns in _cuts(width, tiles.tile**2 // rows, tiles.multiple)
    ]


def _cuts(length: int, most: int, multiple: int) -> list[tuple[int, int]]:
    """`length` in equal parts of at most `most`, as (start, length), starts at multiples of `multiple`."""
    count = math.ceil(length / max(multiple, most))
    part = math.ceil(length / count / multiple) * multiple
    return [(start, min(part, length - start)) for start in range(0, length, part)]


def _run_block(network: EnlargeTile, pixels: Pixels, block: _Block, tiles: Tiles, out: Pixels) -> None:
    height, width = pixels.shape[:2]
    top, left, bottom, right = _read_part(block, height, width, tiles)
    written = block
    if tiles.feathered:
        y, x = max(0, top), max(0, left)
        written = _Block(y, x, min(height, bottom) - y, min(width, right) - x)
    result = network(_surrounded(pixels, top, left, bottom, right))
    target = _view(out, written, tiles.scale)
    y, x = (written.top - top) * tiles.scale, (written.left - left) * tiles.scale
    result = result[y : y + target.shape[0], x : x + target.shape[1]]
    if not tiles.feathered:
        target[...] = result
        return
    fade_y = _fade(target.shape[0], 2 * _overlap(tiles) * tiles.scale if block.top else 0)
    fade_x = _fade(target.shape[1], 2 * _overlap(tiles) * tiles.scale if block.left else 0)
    _lay_over(target, result, fade_y[:, None, None] * fade_x[:, None])


def _overlap(tiles: Tiles) -> int:
    return math.ceil(max(tiles.overlap, tiles.border) / tiles.multiple) * tiles.multiple


def _read_part(block: _Block, height: int, width: int, tiles: Tiles) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what is read for a block; beyond the picture by its border.

    What the width lacks is read beyond the picture's right edge, the same for every cut; tiles inside read more on
    their left.
    """
    overlap = _overlap(tiles)
    top, left = max(-tiles.border, block.top - overlap), max(-tiles.border, block.left - overlap)
    bottom = min(height + tiles.border, block.top + block.height + overlap)
    right = block.left + block.width + overlap
    if right >= width:
        right = width + tiles.border + -(width + 2 * tiles.border) % tiles.width_multiple
    left = max(-tiles.border, left - (left - right) % tiles.width_multiple)
    return top, left, bottom, right + (left - right) % tiles.width_multiple


def _surrounded(pixels: Pixels, top: int, left: int, bottom: int, right: int) -> Pixels:
    """A copy of a part of the picture, which may reach beyond its edges: their pixels are repeated there."""
    height, width = pixels.shape[:2]
    beyond = ((max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width)), (0, 0))
    return np.pad(pixels[max(0, top) : bottom, max(0, left) : right], beyond, mode="edge")


def _view(out: Pixels, block: _Block, scale: int) -> Pixels:
    bottom, right = block.top + block.height, block.left + block.width
    return out[block.top * scale : bottom * scale, block.left * scale : right * scale]


def _fade(length: int, width: int) -> NDArray[np.float32]:
    """Weights of a tile along one edge, (length,): from 0 to 1 over the first `width`, 1 behind."""
    ramp: NDArray[np.float32] = (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(max(width, 0.5))
    return np.minimum(ramp, np.float32(1))


def _lay_over(target: Pixels, tile: Pixels, weight: NDArray[np.float32]) -> None:
    """Blends `tile` over `target`; where the weight is 1 the target may still hold anything."""
    solid = weight >= 1
    blended = target + weight * (tile.astype(np.float32) - target)
    target[...] = np.where(solid, tile, np.rint(blended).astype(target.dtype))
