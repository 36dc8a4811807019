"""Tuning files: what was measured to run a network fastest, beside its weights, for each kind of CPU. Loads no torch.

NAME.tuning.json has an entry for each kind. It is bound to the weights by their SHA-256.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pixelserve.errors import CheckpointError
from pixelserve.imaging import SMALLEST_TILE
from pixelserve.models.weights import TUNING_SUFFIX

TILES = {"SRVGGNetCompact": 512, "RRDBNet": 256}
"""Edges of the largest tiles that nobody has measured, by architecture. On a CPU with AMX those of SRVGGNetCompact were
the fastest of 96 to 512; RRDBNet took no longer than in tiles of 355, and 350 MB less.
"""


class Tuning(BaseModel):
    """What was measured to be the fastest; `tile` is the edge of the largest tiles in pixels, if they were measured."""

    runtime: Literal["torch", "openvino"]
    dtype: Literal["float32", "bfloat16", "float16"]
    tile: int | None = Field(default=None, ge=SMALLEST_TILE)
    sha256: str
    """Of the weights, in lower-case hex; of ncnn's pair of the .param, then the .bin."""


_FILE = TypeAdapter(dict[str, Any])
"""Entries of other kinds may be by other versions."""


def tuning_file(path: Path) -> Path:
    """The one of a file of weights."""
    return path.with_suffix(TUNING_SUFFIX)


def read_entry(file: Path, kind: str) -> Tuning | None:
    """That of a kind of CPU; None without one. Raises CheckpointError for damage there, and of the file."""
    entries = _read(file)
    return _checked(file, entries[kind]) if kind in entries else None


def write_entry(file: Path, kind: str, tuning: Tuning) -> None:
    """Adds that of a kind of CPU, or replaces it; those of others stay, unless the file is damaged."""
    try:
        entries = _read(file)
    except CheckpointError:
        entries = {}
    file.write_bytes(_FILE.dump_json(entries | {kind: tuning.model_dump()}, indent=2) + b"\n")


def check_tuning(file: Path) -> None:
    """Raises CheckpointError unless every kind of CPU can follow the file."""
    for entry in _read(file).values():
        _checked(file, entry)


def _read(file: Path) -> dict[str, Any]:
    try:
        return _FILE.validate_json(file.read_bytes()) if file.is_file() else {}
    except ValidationError as error:
        raise _damaged(file) from error


def _checked(file: Path, entry: Any) -> Tuning:
    try:
        return Tuning.model_validate(entry)
    except ValidationError as error:
        raise _damaged(file) from error


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(f"{file.name} is no tuning file: delete it, or `pixelserve weights tune` again.")
