"""List, fetch and verify published weights, and tune files of weights to this hardware.

Fetched files are checked against the SHA-256 of the manifest.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pixelserve.features import FEATURES
from pixelserve.models import Weights, WeightsError, find_weights, manifest
from pixelserve_deploy import console, download
from pixelserve_deploy.errors import UsageError

EXAMPLES = """\
  pixelserve weights list
  pixelserve weights fetch --recommended        what is better than what is embedded
  pixelserve weights fetch realesr-general-x4v3
  pixelserve weights fetch u2net-human-seg --mirror https://mirror.example/weights
  pixelserve weights verify                     all that are there
  pixelserve weights tune weights/x4.pth        measures what runs it fastest, beside it in x4.tuning.json
"""
COLUMNS = ("NAME", "MB", "FETCHED", "FEATURE", "ABOUT", "LICENCE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch", "verify", "tune"))
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="as `list` shows them; to tune, files of networks for super-resolution"
    )
    parser.add_argument("--recommended", action="store_true", help="fetch: those that features should run with")
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
    folder = arguments.to or download.find_weights_folder()
    if arguments.recommended and (arguments.action != "fetch" or arguments.names):
        raise UsageError("--recommended goes with fetch, in place of names")
    if arguments.action == "list":
        if arguments.names:
            raise UsageError("list takes no names")
        _list(folder)
        return 0
    if arguments.action == "verify":
        return _verify([find_weights(name) for name in arguments.names], folder)
    if arguments.action == "tune":
        if not arguments.names:
            raise UsageError("name the files to tune")
        for path in map(Path, arguments.names):
            _tune(path)
        return 0
    if not (arguments.names or arguments.recommended):
        raise UsageError("name what to fetch, as `pixelserve weights list` shows it, or give --recommended")
    for entry in [*map(find_weights, arguments.names), *_list_recommended(arguments.recommended)]:
        _fetch(entry, folder, arguments)
    return 0


def _list_recommended(is_asked: bool) -> list[Weights]:
    """The recommended ones; says of the other features that they have none."""
    if not is_asked:
        return []
    found = [entry for entry in manifest() if entry.recommended]
    for feature in FEATURES:
        if feature.name not in [entry.feature for entry in found]:
            print(f"{feature.endpoint}: the embedded network is what it should run with.", file=sys.stderr)
    return found


def _list(folder: Path) -> None:
    rows = []
    for entry in manifest():
        fetched = "yes" if download.is_fetched(entry, folder) else "-"
        about = f"{entry.about} (recommended)" if entry.recommended else entry.about
        rows.append((entry.name, f"{entry.size / 1e6:.1f}", fetched, entry.feature, about, entry.licence))
    console.print_table(COLUMNS, rows, right={"MB"})


def _fetch(entry: Weights, folder: Path, arguments: argparse.Namespace) -> None:
    print(f"{entry.name}: {entry.about}. Licence: {entry.licence}.", file=sys.stderr)
    with console.show_bytes(entry.name) as show:
        place = download.fetch_weights(entry, folder, mirror=arguments.mirror, offline=arguments.offline, progress=show)
    for file in entry.files:
        print(place / file.name)
    endpoint = entry.feature.replace("_", "-")
    if entry.recommended and arguments.to is None:
        print(f"{endpoint} is served with it from now on: pixelserve up {endpoint}")
    else:
        print(f"To serve it: pixelserve up {endpoint} --weights {entry.name if arguments.to is None else place}")


def _tune(path: Path) -> None:
    from pixelserve.models import tune  # loads torch

    choices, tiles = tune(path)
    rows = [(choice.runtime, choice.dtype, f"{seconds:.4f}") for choice, seconds in choices.items()]
    console.print_table(("RUNTIME", "TYPE", "SECONDS FOR 64x64"), rows, right={"SECONDS FOR 64x64"})
    edges = [(f"{edge}x{edge}", f"{1e6 * seconds:.2f}") for edge, seconds in tiles.items()]
    console.print_table(("TILE", "SECONDS A MEGAPIXEL"), edges, right={"SECONDS A MEGAPIXEL"})
    print(f"{path}: {rows[0][0]}, {rows[0][1]}, tiles of {edges[0][0]} from now on, on hardware like this")


def _verify(chosen: list[Weights], folder: Path) -> int:
    """0 when all are right. Those named must be there; without names all that are there are checked."""
    code = 0
    present = [entry for entry in manifest() if download.is_fetched(entry, folder)]
    if not (chosen or present):
        print(f"There are no weights in {folder}.")
    for entry in chosen or present:
        try:
            download.verify_weights(entry, folder)
        except WeightsError as error:
            print(f"{entry.name}: {error.message}", file=sys.stderr)
            code = 1
        else:
            print(f"{entry.name}: as published")
    return code
