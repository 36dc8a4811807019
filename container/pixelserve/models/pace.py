"""How long a network takes for its tiles: timed before the first picture, and corrected by what real ones take."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pixelserve.imaging import Pixels
from pixelserve.models.passes import Pass

EDGES = (64, 128, 256, 512)
"""Of the tiles that a network is timed on, as large as those of pictures if that takes no longer than the next."""
SLOW_SECONDS = 0.5
"""No larger tile is timed after one that takes so long."""
STALLED = 2.0
"""A tile that takes this many times longer for each pixel than a smaller one was held up by something else."""
RUNS, ENOUGH_SECONDS = 3, 0.5
"""Of several runs the fastest counts; no further one than the second is made after so long."""


class Pace:
    """The seconds that `run` takes for each pixel of a square tile, by its edge: the least seen, as other load adds."""

    def __init__(self, run: Callable[[int], Any]) -> None:
        self._run = run
        self.seconds = 0.0
        self.edge = 0
        """Of the largest tile that was timed."""

    def warm_up(self, most: int) -> None:
        """Times tiles of edges up to `most`; a slow one ends it, unless it may have been held up."""
        for edge in [edge for edge in EDGES if edge <= most] or [most]:
            whole = least_seconds(partial(self._run, edge))
            if self.edge and whole / edge**2 > STALLED * self.seconds:
                continue
            is_first, self.edge, self.seconds = not self.edge, edge, whole / edge**2
            if whole > SLOW_SECONDS and not is_first:
                return

    def time_again(self) -> None:
        """Times the largest tile that was, once."""
        started = time.perf_counter()
        self._run(self.edge)
        self.note(time.perf_counter() - started, self.edge**2)

    def note(self, seconds: float, pixels: int) -> None:
        """What a tile took; it counts if it was faster than thought, and as large as those that were timed."""
        if pixels >= self.edge**2:
            self.seconds = min(self.seconds, seconds / pixels)


def least_seconds(run: Callable[[], Any]) -> float:
    """Of several runs, at least two."""
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < RUNS and sum(seconds) < ENOUGH_SECONDS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class TimedPass:
    """A pass, and how long it takes for pictures of 8 and of 16 bits, which other networks may run."""

    def __init__(self, one: Pass) -> None:
        self._one = one
        self._small, self._large = (Pace(partial(self._run_blank, kind)) for kind in (np.uint8, np.uint16))
        if one.network is one.exact:
            self._large = self._small

    def __call__(self, tile: Pixels) -> Pixels:
        """What the pass gives; how long it takes is noted."""
        started = time.perf_counter()
        result = self._one(tile)
        seconds = time.perf_counter() - started
        pictures = 1 if tile.shape[2] in (1, 3) else 2
        self.pace(tile).note(seconds, pictures * tile.shape[0] * tile.shape[1])
        return result

    def pace(self, pixels: Pixels) -> Pace:
        """That of pictures as deep as `pixels`."""
        return self._small if pixels.dtype == np.uint8 else self._large

    def warm_up(self, most: int) -> None:
        """Times tiles of edges up to `most`, and of a quarter of that for 16 bits, which are rare."""
        self._small.warm_up(most)
        if self._large is not self._small:
            self._large.warm_up(max(EDGES[0], self._small.edge // 4))

    def _run_blank(self, kind: DTypeLike, edge: int) -> None:
        self._one(np.zeros((edge, edge, 3), kind))
