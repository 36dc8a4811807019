"""List, fetch and verify published weights. Every file is checked against the SHA-256 of the manifest."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pixelserve.models.weights import Weights, WeightsError, manifest, verify, weights
from pixelserve_deploy import download
from pixelserve_deploy.commands import UsageError

EXAMPLES = """\
  pixelserve weights list
  pixelserve weights fetch realesr-general-x4v3
  pixelserve weights fetch u2net-human-seg --mirror https://mirror.example/weights
  pixelserve weights verify                     all that are there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch", "verify"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="as `list` shows them")
    parser.add_argument("--to", type=Path, metavar="DIR", help="folder of the weights (default: the user's cache)")
    parser.add_argument(
        "--mirror",
        default=os.environ.get("PIXELSERVE_WEIGHTS_MIRROR"),
        metavar="URL",
        help="a folder with the same files (default: PIXELSERVE_WEIGHTS_MIRROR)",
    )
    parser.add_argument(
        "--offline", action="store_true", help="fetch nothing; say what is missing and where it belongs"
    )


def run(arguments: argparse.Namespace) -> int:
    folder = arguments.to or download.weights_folder()
    if arguments.action == "list":
        if arguments.names:
            raise UsageError("list takes no names")
        _list(folder)
        return 0
    if arguments.action == "fetch":
        if not arguments.names:
            raise UsageError("name what to fetch, as `pixelserve weights list` shows it")
        for entry in map(weights, arguments.names):
            _fetch(entry, folder, arguments)
        return 0
    return _verify([weights(name) for name in arguments.names], folder)


def _list(folder: Path) -> None:
    rows = [("NAME", "MB", "FETCHED", "FEATURE", "ABOUT", "LICENCE")]
    for entry in manifest():
        fetched = "yes" if download.place_of(entry, folder).exists() else "-"
        rows.append((entry.name, f"{entry.size / 1e6:.1f}", fetched, entry.feature, entry.about, entry.licence))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _fetch(entry: Weights, folder: Path, arguments: argparse.Namespace) -> None:
    print(f"{entry.name}: {entry.about}. Licence: {entry.licence}.", file=sys.stderr)
    path = download.fetch(
        entry, folder, mirror=arguments.mirror, offline=arguments.offline, progress=_progress_of(entry.name)
    )
    endpoint = entry.feature.replace("_", "-")
    print(path)
    if entry.alone:
        print(f"To serve it: pixelserve up {endpoint} --model-dir {endpoint}={path.parent}")


def _progress_of(name: str) -> download.Progress:
    """A line that is written over on a terminal, and one a tenth elsewhere."""
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // total
        if percent // (1 if sys.stderr.isatty() else 10) == shown:
            return
        shown = percent // (1 if sys.stderr.isatty() else 10)
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        print(f"{name}: {percent:3d} % of {total / 1e6:.1f} MB", end=end, file=sys.stderr, flush=True)

    return show


def _verify(chosen: list[Weights], folder: Path) -> int:
    """0 when all are right. Those named must be there; without names all that are there are checked."""
    code = 0
    present = [entry for entry in manifest() if download.place_of(entry, folder).exists()]
    if not (chosen or present):
        print(f"There are no weights in {folder}.")
    for entry in chosen or present:
        path = download.place_of(entry, folder)
        try:
            if not path.exists():
                raise WeightsError(f"{path} is not there: pixelserve weights fetch {entry.name}")
            verify(path, entry)
        except WeightsError as error:
            print(f"{entry.name}: {error.message}", file=sys.stderr)
            code = 1
        else:
            print(f"{entry.name}: as published")
    return code
