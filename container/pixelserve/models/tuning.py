"""What runs a network fastest on this kind of CPU, and in which tiles: measured once, then read from a tuning file."""

from __future__ import annotations

import hashlib
import logging
import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pixelserve.imaging import SMALLEST_TILE
from pixelserve.models.devices import cpu_flags, memory_bound
from pixelserve.models.folders import WITH_BIN
from pixelserve.models.networks import NetworkInfo, load_network
from pixelserve.models.runtimes import KINDS, WIDTH_MULTIPLE, Choice, Running, measure, noise, run, timed
from pixelserve.models.tuning_files import Tuning, read_entry, tuning_file, write_entry

logger = logging.getLogger("pixelserve.models")

TILES = (128, 192, 256, 384, 512, 768, 1024)
"""Edges that are measured."""
CPU = torch.device("cpu")


def hardware_kind() -> str:
    """The best flag of the CPU that matters here."""
    flags = cpu_flags()
    return next((kind for kind in KINDS if kind in flags), "cpu")


def read_tuning(path: Path) -> Tuning | None:
    """What was measured for a file of weights on this kind of CPU; None for other weights, which is logged.

    Raises CheckpointError for a tuning file that is none, or has a damaged entry for it.
    """
    file = tuning_file(path)
    tuned = read_entry(file, hardware_kind())
    if tuned and tuned.sha256 != _digest(path):
        logger.warning("%s was measured with other weights than %s: it is not followed.", file.name, path.name)
        return None
    return tuned


def write_tuning(path: Path, choice: Choice, tile: int) -> None:
    """Adds what was measured on this kind of CPU to the file."""
    tuned = Tuning(runtime=choice.runtime, dtype=choice.dtype, tile=tile, sha256=_digest(path))  # type: ignore[arg-type]
    write_entry(tuning_file(path), hardware_kind(), tuned)


def _digest(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes())
    if path.suffix.lower() in WITH_BIN:
        digest.update(path.with_suffix(".bin").read_bytes())
    return digest.hexdigest()


def affordable_tile(info: NetworkInfo, device: torch.device, dtype: str, workers: int = 1) -> int:
    """The edge of the largest tile within the memory there is for one of each worker, its surroundings included."""
    pixels = memory_bound(device, workers) // info.bytes_in(dtype)
    return max(SMALLEST_TILE, math.isqrt(pixels) - 2 * info.overlap)


def measure_tiles(running: Running, info: NetworkInfo) -> dict[int, float]:
    """Seconds for each pixel that a tile writes, by its edge, the fastest first; never empty.

    Those that memory allows are measured, the largest of them too. What they are read with beyond what they write is
    that of a tile in the middle of a picture.
    """
    affordable = affordable_tile(info, CPU, running.choice.dtype)
    edges = [*(edge for edge in TILES if edge < affordable), min(affordable, TILES[-1])]
    seconds = timed({edge: partial(running.network, _noise_around(edge, info)) for edge in edges})
    return dict(sorted(((edge, taken / edge**2) for edge, taken in seconds.items()), key=lambda entry: entry[1]))


def _noise_around(edge: int, info: NetworkInfo) -> Tensor:
    whole = edge + 2 * info.overlap
    return noise(whole - whole % info.multiple, math.ceil(whole / WIDTH_MULTIPLE) * WIDTH_MULTIPLE)


def tune(path: Path) -> tuple[dict[Choice, float], dict[int, float]]:
    """Measures all that can run a file of weights on this CPU, and tiles, and writes the fastest to its tuning file.

    Returns what `measure` and `measure_tiles` do. Raises CheckpointError.
    """
    network, info = load_network(path)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    choices = measure(network)
    running = run(network, next(iter(choices)))
    tiles = measure_tiles(running, info)
    write_tuning(path, running.choice, next(iter(tiles)))
    return choices, tiles
