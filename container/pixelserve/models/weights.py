"""The manifest: published weights that may be fetched, each with its URL, size, SHA-256 and licence.

Only files whose hash at least two sources agree on are listed; any other file is the user's to give.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pixelserve.errors import NotFound, PixelserveError

_BLOCK = 1 << 20


class WeightsError(PixelserveError):
    """A file is not what the manifest says; the message says what to do."""

    code = "weights"


@dataclass(frozen=True)
class Weights:
    """One published file; `size` in bytes, `sha256` in lower-case hex."""

    name: str
    feature: str
    about: str
    url: str
    size: int
    sha256: str
    licence: str
    alone: bool = True
    """Whether it makes a model folder by itself."""

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.url.rpartition("/")[2]


@lru_cache(maxsize=1)
def manifest() -> tuple[Weights, ...]:
    """All entries, in the order of their features."""
    entries = json.loads((Path(__file__).parent / "manifest.json").read_text())
    return tuple(Weights(**entry) for entry in entries)


def find_weights(name: str) -> Weights:
    """The entry of a name. Raises NotFound listing those there are."""
    for entry in manifest():
        if entry.name == name:
            return entry
    raise NotFound(f"There are no weights {name}. Known: {', '.join(entry.name for entry in manifest())}.")


def verify(path: Path, entry: Weights) -> None:
    """Raises WeightsError when the file is not the entry's, byte for byte."""
    size = path.stat().st_size
    if size != entry.size:
        raise WeightsError(f"{path} has {size:,} bytes; {entry.name} has {entry.size:,}. Fetch it again.")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != entry.sha256:
        raise WeightsError(f"{path} has another SHA-256 than {entry.name}. It is damaged or another file: delete it.")
