"""Tuning files: what was measured to run a network fastest, beside its weights, for each kind of CPU.

NAME.tuning.json has an entry for each kind. It is bound to the weights by their SHA-256.
"""

from __future__ import annotations

import hashlib
import logging
import math
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from torch import nn

from pixelserve.errors import CheckpointError
from pixelserve.imaging import SMALLEST_TILE
from pixelserve.models.devices import cpu_flags, memory_bound
from pixelserve.models.folders import WITH_BIN
from pixelserve.models.networks import NetworkInfo, load_network
from pixelserve.models.runtimes import KINDS, Choice, candidates, measure, natural_probe, run_by, timed
from pixelserve.models.weights import TUNING_SUFFIX

logger = logging.getLogger("pixelserve.models")

TILE = 512
"""Edge of the largest tiles that nobody has measured: of 96 to 512 the fastest on CPUs with AMX."""
TILES = (128, 192, 256, 384, 512, 768, 1024)
"""Edges that are measured."""
CPU = torch.device("cpu")


class Tuning(BaseModel):
    """What was measured to be the fastest; `tile` is the edge of the largest tiles in pixels."""

    runtime: Literal["torch", "openvino"]
    dtype: Literal["float32", "bfloat16", "float16"]
    tile: int = Field(default=TILE, ge=SMALLEST_TILE)
    sha256: str
    """Of the weights, in lower-case hex; of ncnn's pair of the .param, then the .bin."""

    @property
    def choice(self) -> Choice:
        return Choice(self.runtime, self.dtype)


_FILE = TypeAdapter(dict[str, Any])
"""Entries of other kinds may be by other versions."""


def hardware_kind() -> str:
    """The best flag of the CPU that matters here."""
    flags = cpu_flags()
    return next((kind for kind in KINDS if kind in flags), "cpu")


def tuning_file(path: Path) -> Path:
    """The one of a file of weights."""
    return path.with_suffix(TUNING_SUFFIX)


def read_tuning(path: Path) -> Tuning | None:
    """What was measured for a file of weights on this kind of CPU; None for other weights, which is logged.

    Raises CheckpointError for a tuning file that is none, or has a damaged entry for it.
    """
    file, kind = tuning_file(path), hardware_kind()
    entries = _read(file)
    if kind not in entries:
        return None
    try:
        tuned = Tuning.model_validate(entries[kind])
    except ValidationError as error:
        raise _damaged(file) from error
    if tuned.sha256 != _digest(path):
        logger.warning("%s was measured with other weights than %s: it is not followed.", file.name, path.name)
        return None
    return tuned


def write_tuning(path: Path, choice: Choice, tile: int) -> None:
    """Adds what was measured on this kind of CPU to the file; those of others stay, unless the file is damaged."""
    file = tuning_file(path)
    try:
        known = _read(file)
    except CheckpointError:
        known = {}
    tuned = Tuning(runtime=choice.runtime, dtype=choice.dtype, tile=tile, sha256=_digest(path))  # type: ignore[arg-type]
    file.write_bytes(_FILE.dump_json(known | {hardware_kind(): tuned.model_dump()}, indent=2) + b"\n")


def _read(file: Path) -> dict[str, Any]:
    try:
        return _FILE.validate_json(file.read_bytes()) if file.is_file() else {}
    except ValidationError as error:
        raise _damaged(file) from error


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(f"{file.name} is no tuning file: delete it, or `pixelserve weights tune` again.")


def _digest(path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes())
    if path.suffix.lower() in WITH_BIN:
        digest.update(path.with_suffix(".bin").read_bytes())
    return digest.hexdigest()


def affordable_tile(info: NetworkInfo, device: torch.device, workers: int = 1) -> int:
    """The edge of the largest tile within the memory there is for one of each worker, its surroundings included."""
    return max(SMALLEST_TILE, math.isqrt(memory_bound(device, workers) // info.bytes_per_pixel) - 2 * info.overlap)


def measure_tiles(network: nn.Module, info: NetworkInfo) -> dict[int, float]:
    """Seconds for each pixel that a tile writes, by its edge, the fastest first; never empty.

    Those that memory allows are measured, larger ones as long as they are faster than those before.
    """
    found: dict[int, float] = {}
    affordable = affordable_tile(info, CPU)
    for edge in [edge for edge in TILES if edge <= affordable] or [affordable]:
        whole = edge + 2 * info.overlap
        with torch.inference_mode():
            _, seconds = timed(network, natural_probe(whole - whole % info.multiple))
        found[edge] = seconds / edge**2
        if found[edge] > 1.25 * min(found.values()):
            break
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def tune(path: Path) -> tuple[dict[Choice, float], dict[int, float]]:
    """Measures all that can run a file of weights on this CPU, and tiles, and writes the fastest to its tuning file.

    Returns what `measure` and `measure_tiles` do. Raises CheckpointError.
    """
    network, info = load_network(path)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    choices = measure(network, CPU, candidates(CPU), math.inf)
    choice = next(iter(choices))
    tiles = measure_tiles(run_by(network, choice), info)
    write_tuning(path, choice, next(iter(tiles)))
    return choices, tiles
