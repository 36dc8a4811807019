"""The option that says with which weights a handler runs, and the sources with them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pixelserve import features
from pixelserve.errors import NotFound
from pixelserve.features import Feature
from pixelserve.local import Source
from pixelserve.models import Weights, find_weights, manifest
from pixelserve_deploy import download
from pixelserve_deploy.errors import UsageError

EMBEDDED = "embedded"
MEANING = f"published ones by name, {EMBEDDED}, or their folder"


def add_weights(parser: argparse.ArgumentParser) -> None:
    """--weights of one handler; --model-dir is another name of it."""
    parser.add_argument(
        "--weights",
        "--model-dir",
        metavar="NAME|DIR",
        help=f"weights: {MEANING} (default: the recommended ones once they are fetched)",
    )


def choose_weights(source: Source, chosen: str | None) -> Source:
    """The source with the weights chosen; without a choice with the recommended ones that are fetched, which is said.

    Raises NotFound for a name or folder of none, and for published weights that are not fetched; WeightsError for
    damaged ones.
    """
    if chosen is None:
        return _recommend(source)
    if chosen == EMBEDDED:
        return replace(source, model_dir=None)
    if not is_published(chosen):
        if os.sep not in chosen and not Path(chosen).is_dir():
            raise NotFound(
                f"There is no folder {chosen}, and no published weights of that name: pixelserve weights list"
            )
        return source.with_weights(Path(chosen))
    entry, folder = find_weights(chosen), download.find_weights_folder()
    if not download.is_fetched(entry, folder):
        raise NotFound(f"The weights {chosen} are not here: pixelserve weights fetch {chosen}")
    return _with_published(source, entry, folder)


def is_published(name: str) -> bool:
    """Whether the manifest has weights of that name."""
    return name in [entry.name for entry in manifest()]


def find_feature(source: Source) -> Feature | None:
    """The feature whose own handler a source is, under whatever name."""
    return next((known for known in features.FEATURES if source.folder == features.handler_folder(known)), None)


def _recommend(source: Source) -> Source:
    feature = find_feature(source)
    if feature is None or source.model_dir is not None or os.environ.get("SM_MODEL_DIR"):
        return source
    folder = download.find_weights_folder()
    entry = next((entry for entry in manifest() if entry.recommended and entry.feature == feature.name), None)
    if entry is None:
        return source
    if not download.is_fetched(entry, folder):
        print(
            f"{source.name} runs with what is embedded. Better: pixelserve weights fetch {entry.name}", file=sys.stderr
        )
        return source
    print(f"{source.name} runs with {entry.name}, recommended; --weights {EMBEDDED} runs it without.", file=sys.stderr)
    return _with_published(source, entry, folder)


def _with_published(source: Source, entry: Weights, folder: Path) -> Source:
    download.verify_weights(entry, folder)
    return source.with_weights(download.locate_weights(entry, folder))


def choose_all_weights(found: Iterable[Source], chosen: list[str]) -> list[Source]:
    """The sources with their weights: each choice is [NAME=]WHAT, with NAME that of an endpoint.

    Without NAME it is for the only endpoint, `embedded` for all, and published weights for their feature's. Raises
    UsageError for a choice of no endpoint, and what `choose_weights` raises.
    """
    sources = list(found)
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise UsageError("two endpoints have the same name: choose another for one with NAME=FOLDER")
    choices: dict[str, str] = {}
    for text in chosen:
        name, equals, what = text.partition("=")
        wanted = [name] if equals else _find_endpoints(sources, text)
        if not wanted or not set(wanted) <= set(names):
            raise UsageError(
                f"--weights {text}: for one of several endpoints write NAME={what or text}, "
                f"with NAME one of {', '.join(names)}"
            )
        choices |= dict.fromkeys(wanted, what if equals else text)
    return [choose_weights(source, choices.get(source.name)) for source in sources]


def _find_endpoints(sources: list[Source], chosen: str) -> list[str]:
    """Those that a choice without a name is for."""
    if len(sources) == 1 or chosen == EMBEDDED:
        return [source.name for source in sources]
    if not is_published(chosen):
        return []
    wanted = find_weights(chosen).feature
    return [source.name for source in sources if (known := find_feature(source)) and known.name == wanted]
