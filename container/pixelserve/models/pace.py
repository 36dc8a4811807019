"""How long a network takes for its tiles: timed before the first picture, then as the last real tiles say."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pixelserve.imaging import Pixels, Tiles
from pixelserve.models.devices import is_out_of_memory
from pixelserve.models.passes import Pass

EDGES = (64, 128, 256, 512)
"""Of the tiles that a network is timed on, as large as those of pictures if there is time."""
WARM_UP_SECONDS = 5.0
"""For all networks together."""
LATE_SECONDS = 0.5
"""For one that is timed at a picture."""
REAL_TILES = 5
"""Of the last so many the median counts: two that something held up, or that were lucky, change nothing."""
TIME_AGAIN_SECONDS = 60.0
"""A pace is timed again at most so often."""


class Pace:
    """The seconds that `run` takes for each pixel of a square tile, by the edge of that; `edges` are timed."""

    def __init__(self, run: Callable[[int], Any], edges: Sequence[int]) -> None:
        self._run, self._edges = run, edges
        self._seen: dict[int, deque[float]] = {}
        """Of tiles about as large as the one with an edge that was timed."""
        self._timed_again = -math.inf

    def warm_up(self, seconds: float, first: int = 0) -> None:
        """Times the first tile that large, and larger ones as long as two runs of the next fit into `seconds`, and into
        memory.
        """
        end, taken, before = time.perf_counter() + seconds, 0.0, 0
        for edge in self._edges:
            if edge < first:
                continue
            if taken and time.perf_counter() + 2 * taken * (edge / before) ** 2 > end:
                return
            try:
                taken, before = self._time(edge), edge
                if time.perf_counter() + taken <= end:
                    taken = min(taken, self._time(edge))
            except BaseException as error:
                if self._seen and is_out_of_memory(error):
                    return
                raise
            self._seen[edge] = deque([taken / edge**2], REAL_TILES)

    def seconds(self, pixels: int) -> float:
        """For a tile of so many pixels; where nothing is known, it is timed now."""
        if not self._seen:
            self.warm_up(LATE_SECONDS)
        return pixels * statistics.median_low(self._seen[self._nearest(pixels)])

    def time_again(self, pixels: int) -> None:
        """Times about as large a tile, and larger ones, if that was not done lately; it counts if it is faster than was
        thought.
        """
        now = time.perf_counter()
        if now < self._timed_again + TIME_AGAIN_SECONDS:
            return
        thought, before = self.seconds(pixels), dict(self._seen)
        self._timed_again = now
        self.warm_up(LATE_SECONDS, self._nearest(pixels))
        if self.seconds(pixels) > thought:
            self._seen = before

    @contextlib.contextmanager
    def noting(self, pixels: int) -> Iterator[None]:
        """Around the run of a real tile: it counts unless it is smaller than all that were timed."""
        started = time.perf_counter()
        yield
        if self._seen and pixels >= min(self._seen) ** 2:
            self._seen[self._nearest(pixels)].append((time.perf_counter() - started) / pixels)

    def _nearest(self, pixels: int) -> int:
        """The edge of the timed tile that is nearest in size, by its share."""
        return min(self._seen, key=lambda edge: abs(math.log(edge**2 / pixels)))

    def _time(self, edge: int) -> float:
        started = time.perf_counter()
        self._run(edge)
        return time.perf_counter() - started


def warm_up(paces: Sequence[Pace]) -> None:
    """Times each in an equal share of WARM_UP_SECONDS; whose share others took is timed at its first picture."""
    end, share = time.perf_counter() + WARM_UP_SECONDS, WARM_UP_SECONDS / max(1, len(paces))
    for pace in paces:
        left = end - time.perf_counter()
        if left > share / 2:
            pace.warm_up(min(share, left))


class TimedPass:
    """A pass, and for pictures of 8 and of 16 bits, which other networks may run, its tiles and how long it takes."""

    def __init__(self, one: Pass, small: Tiles, large: Tiles) -> None:
        self._one = one
        self._small = small, self._make_pace(np.uint8, small)
        self._large = (large, self._make_pace(np.uint16, large)) if one.network is not one.exact else self._small

    def __call__(self, tile: Pixels) -> Pixels:
        """What the pass gives; how long it takes is noted."""
        pictures = 1 if tile.shape[2] in (1, 3) else 2
        with self.pace(tile.dtype).noting(pictures * tile.shape[0] * tile.shape[1]):
            return self._one(tile)

    def tiles(self, kind: DTypeLike) -> Tiles:
        """Those of pictures of uint8 or uint16."""
        return self._of(kind)[0]

    def pace(self, kind: DTypeLike) -> Pace:
        """That of pictures of uint8 or uint16."""
        return self._of(kind)[1]

    def _of(self, kind: DTypeLike) -> tuple[Tiles, Pace]:
        return self._small if kind == np.uint8 else self._large

    def _make_pace(self, kind: DTypeLike, tiles: Tiles) -> Pace:
        edges = [edge for edge in EDGES if edge <= tiles.tile] or [tiles.tile]
        random = np.random.default_rng(0)  # processors are faster with zeros
        return Pace(lambda edge: self._one(random.integers(0, 256, (edge, edge, 3), kind)), edges)
