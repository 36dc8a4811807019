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
        self._edge = edges[0]
        """Of the largest tile that was timed."""
        self._seen: deque[float] = deque(maxlen=REAL_TILES)
        self._timed_again = -math.inf

    def warm_up(self, seconds: float) -> None:
        """Times a tile, and larger ones as long as two runs of the next fit into `seconds`, and into memory."""
        end, taken = time.perf_counter() + seconds, 0.0
        for edge in self._edges[self._edges.index(self._edge) :]:
            if taken and time.perf_counter() + 2 * taken * (edge / self._edge) ** 2 > end:
                return
            try:
                taken = self._time(edge)
                if time.perf_counter() + taken <= end:
                    taken = min(taken, self._time(edge))
            except BaseException as error:
                if self._seen and is_out_of_memory(error):
                    return
                raise
            self._edge, self._seen = edge, deque([taken / edge**2], REAL_TILES)

    def seconds(self) -> float:
        """For each pixel; where nothing is known, it is timed now."""
        if not self._seen:
            self.warm_up(LATE_SECONDS)
        return statistics.median_low(self._seen)

    def time_again(self) -> None:
        """Times as large a tile or larger, if that was not done lately; it counts if it is faster than was thought."""
        now = time.perf_counter()
        if now < self._timed_again + TIME_AGAIN_SECONDS:
            return
        thought, before = self.seconds(), (self._edge, self._seen)
        self._timed_again = now
        self.warm_up(LATE_SECONDS)
        if self.seconds() > thought:
            self._edge, self._seen = before

    @contextlib.contextmanager
    def noting(self, pixels: int) -> Iterator[None]:
        """Around the run of a real tile: it counts if it is as large as those that were timed."""
        started = time.perf_counter()
        yield
        if pixels >= self._edge**2:
            self._seen.append((time.perf_counter() - started) / pixels)

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
        return Pace(lambda edge: self._one(np.zeros((edge, edge, 3), kind)), edges)
