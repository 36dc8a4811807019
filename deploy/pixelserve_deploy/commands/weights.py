"""List, fetch and verify published weights, and tune files of weights to this hardware.

Fetched files are checked against the SHA-256 of the manifest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelserve.features import FEATURES
from pixelserve.models import Weights, WeightsError, find_weights, manifest
from pixelserve.processes import MEMORY, give_memory_back
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
MIRROR = "PIXELSERVE_WEIGHTS_MIRROR"
COLUMNS = ("NAME", "MB", "FETCHED", "FEATURE", "ABOUT", "LICENCE")


Told = dict[str, Any]
"""What is said of one entry, as JSON has it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch", "verify", "tune"))
    parser.add_argument(
        "names",
        nargs="*",
        default=[],
        metavar="NAME",
        help="as `list` shows them; to tune, files of networks for super-resolution",
    )
    parser.add_argument("--recommended", action="store_true", help="fetch: those that features should run with")
    parser.add_argument("--to", type=Path, metavar="DIR", help="folder of the weights (default: the user's cache)")
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help=f"fetch: a folder with the same files (default: {MIRROR})",
    )
    parser.add_argument(
        "--offline", action="store_true", help="fetch: bring nothing; say what is missing and where it belongs"
    )
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON (docs/scripts.md)")


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    folder = arguments.to or download.find_weights_folder()
    if arguments.action == "list":
        return _tell(arguments, _list(folder), _show_list)
    if arguments.action == "verify":
        verified = _verify([find_weights(name) for name in arguments.names], folder)
        _tell(arguments, verified, _show_verified)
        return 1 if any(entry["error"] for entry in verified) else 0
    if arguments.action == "tune":
        return _tell(arguments, [_tune(Path(name)) for name in arguments.names], _show_tuned)
    wanted = [*map(find_weights, arguments.names), *_list_recommended(arguments.recommended)]
    return _tell(arguments, [_fetch(entry, folder, arguments) for entry in wanted], _show_fetched)


def _check(arguments: argparse.Namespace) -> None:
    """Raises UsageError where the command line contradicts itself."""
    if arguments.recommended and (arguments.action != "fetch" or arguments.names):
        raise UsageError("--recommended goes with fetch, in place of names")
    for option, value in (("--offline", arguments.offline), ("--mirror", arguments.mirror)):
        if value and arguments.action != "fetch":
            raise UsageError(f"{option} goes with fetch")
    if arguments.to and arguments.action == "tune":
        raise UsageError("--to goes with list, fetch and verify; a tuning lies beside its file")
    if arguments.action == "list" and arguments.names:
        raise UsageError("list takes no names: it lists all")
    if arguments.action == "tune" and not arguments.names:
        raise UsageError("name the files to tune")
    if arguments.action == "fetch" and not (arguments.names or arguments.recommended):
        raise UsageError("name what to fetch, as `pixelserve weights list` shows it, or give --recommended")


def _tell(arguments: argparse.Namespace, found: list[Told], show: Callable[[list[Told]], None]) -> int:
    """Shows what was done, or prints it as JSON."""
    if arguments.json:
        print(json.dumps({"weights": found}))
    else:
        show(found)
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


def _list(folder: Path) -> list[Told]:
    return [
        {
            "name": entry.name,
            "bytes": entry.size,
            "fetched": download.is_fetched(entry, folder),
            "feature": entry.feature,
            "about": entry.about,
            "licence": entry.licence,
            "recommended": entry.recommended,
        }
        for entry in manifest()
    ]


def _show_list(found: list[Told]) -> None:
    rows = [
        (
            entry["name"],
            f"{entry['bytes'] / 1e6:.1f}",
            "yes" if entry["fetched"] else "-",
            entry["feature"],
            f"{entry['about']} (recommended)" if entry["recommended"] else entry["about"],
            entry["licence"],
        )
        for entry in found
    ]
    console.print_table(COLUMNS, rows, right={"MB"})


def _fetch(entry: Weights, folder: Path, arguments: argparse.Namespace) -> Told:
    print(f"{entry.name}: {entry.about}. Licence: {entry.licence}.", file=sys.stderr)
    mirror = arguments.mirror or os.environ.get(MIRROR)
    with console.show_bytes(entry.name) as show:
        place = download.fetch_weights(entry, folder, mirror=mirror, offline=arguments.offline, progress=show)
    endpoint = entry.feature.replace("_", "-")
    if entry.recommended and arguments.to is None:
        serve = f"pixelserve up {endpoint}"
    else:
        serve = f"pixelserve up {endpoint} --weights {entry.name if arguments.to is None else place}"
    return {"name": entry.name, "files": [str(place / file.name) for file in entry.files], "serve": serve}


def _show_fetched(found: list[Told]) -> None:
    for entry in found:
        print(*entry["files"], sep="\n")
        print(f"To serve it: {entry['serve']}")


def _tune(path: Path) -> Told:
    os.environ.update(MEMORY | os.environ)  # torch is measured as a server's workers have it
    give_memory_back()
    from pixelserve.models import tune  # loads torch

    choices, tiles = tune(path)
    runs = [
        {"runtime": str(choice.runtime), "type": str(choice.dtype), "seconds": seconds}
        for choice, seconds in choices.items()
    ]
    edges = [{"tile": edge, "seconds_a_megapixel": 1e6 * seconds} for edge, seconds in tiles.items()]
    return {"file": str(path), "runs": runs, "tiles": edges}


def _show_tuned(found: list[Told]) -> None:
    for file in found:
        rows = [(run["runtime"], run["type"], f"{run['seconds']:.4f}") for run in file["runs"]]
        console.print_table(("RUNTIME", "TYPE", "SECONDS FOR 256x256"), rows, right={"SECONDS FOR 256x256"})
        edges = [(f"{run['tile']}x{run['tile']}", f"{run['seconds_a_megapixel']:.2f}") for run in file["tiles"]]
        console.print_table(("TILE", "SECONDS A MEGAPIXEL"), edges, right={"SECONDS A MEGAPIXEL"})
        chosen = f"{rows[0][0]}, {rows[0][1]}, tiles of {edges[0][0]}"
        print(f"{file['file']}: {chosen} from now on, on hardware like this")


def _verify(chosen: list[Weights], folder: Path) -> list[Told]:
    """What is wrong with each. Those named must be there; without names all that are there are checked."""
    present = [entry for entry in manifest() if download.is_fetched(entry, folder)]
    if not (chosen or present):
        print(f"There are no weights in {folder}: pixelserve weights fetch --recommended", file=sys.stderr)
    found: list[Told] = []
    for entry in chosen or present:
        try:
            download.verify_weights(entry, folder)
            error = None
        except WeightsError as failure:
            error = failure.message
        found.append({"name": entry.name, "error": error})
    return found


def _show_verified(found: list[Told]) -> None:
    for entry in found:
        if entry["error"]:
            print(f"{entry['name']}: {entry['error']}", file=sys.stderr)
        else:
            print(f"{entry['name']}: as published")
