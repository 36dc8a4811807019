"""Which images are still to be done, and in which jobs.

A job takes images of one folder. AWS says in two ways where a job stores its outputs: by the file's name alone, or by
its path below the input (CreateTransformJob, S3OutputPath). For one folder both are the same, so every image's output
is OUTPUT/<name>.out, and what is there says what is done.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from pixelserve.local import JobReport

IMAGES = 50_000
"""Of a job, at most."""
OUT = ".out"


@dataclass(frozen=True)
class Shard:
    """Images of one folder, which ends with a slash or is ""; `files` are their names in it."""

    folder: str
    files: tuple[str, ...]

    @property
    def names(self) -> Iterator[str]:
        """The images' names below the input."""
        return (self.folder + file for file in self.files)

    def write_manifest(self, source: str) -> bytes:
        """The manifest of a job (API reference of S3DataSource); `source` is the input's URL, with a slash."""
        return json.dumps([{"prefix": source + self.folder}, *self.files]).encode()


@dataclass(frozen=True)
class Order:
    """What a run has to do: the jobs, the bytes of their images, and what is known before: there already, too large."""

    shards: list[Shard]
    sizes: list[int]
    report: JobReport
    old: tuple[str, ...] = ()
    """Outputs that are there and are made anew. They are removed first, for what is there counts as done."""


def make_order(
    sizes: Mapping[str, int], outputs: Collection[str], limit: int, most: int = IMAGES, *, overwrite: bool = False
) -> Order:
    """The jobs for images of these bytes, by name; none is larger than `limit`. `overwrite` does all of them again."""
    missing = find_missing(sizes, () if overwrite else outputs)
    large = {name: f"It has {sizes[name]:,} bytes; the server takes {limit:,}. Shrink it." for name in missing
             if sizes[name] > limit}  # fmt: skip
    names = [name for name in missing if name not in large]
    report = JobReport(skipped=len(sizes) - len(missing), failures=large)
    there = frozenset(outputs)
    old = tuple(name + OUT for name in names if name + OUT in there)
    return Order(make_shards(names, most), [sizes[name] for name in names], report, old)


def find_missing(names: Iterable[str], outputs: Collection[str]) -> list[str]:
    """The names without an output, sorted."""
    there = frozenset(outputs)
    return sorted(name for name in names if name + OUT not in there)


def make_shards(names: Iterable[str], most: int = IMAGES) -> list[Shard]:
    """Jobs of at most so many images, folder by folder."""
    shards = []
    for folder, group in groupby(sorted(map(_split, names)), key=lambda pair: pair[0]):
        files = [file for _, file in group]
        shards += [Shard(folder, tuple(files[at : at + most])) for at in range(0, len(files), most)]
    return shards


def _split(name: str) -> tuple[str, str]:
    folder, slash, file = name.rpartition("/")
    return folder + slash, file
