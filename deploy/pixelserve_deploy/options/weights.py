"""The option that says with which weights a handler runs, and the sources with them."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelserve import features
from pixelserve.errors import NotFound
from pixelserve.features import Feature
from pixelserve.local import Source
from pixelserve.models import Weights, find_weights, manifest
from pixelserve_deploy import download
from pixelserve_deploy.errors import UsageError

EMBEDDED = "embedded"
MEANING = f"published ones by name, {EMBEDDED}, or their folder"


class _Once(argparse.Action):
    """Takes one value; a second would take the place of the first in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error("--weights is given twice: here it takes one. `pixelserve up` serves several together")
        setattr(namespace, self.dest, values)


def add_weights(parser: argparse.ArgumentParser) -> None:
    """--weights of one handler; --model-dir is another name of it."""
    parser.add_argument(
        "--weights",
        "--model-dir",
        action=_Once,
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


def choose_all_weights(found: Iterable[Source], chosen: list[str], scratch: ExitStack) -> list[Source]:
    """The sources with their weights: each choice is [NAME=]WHAT, with NAME that of an endpoint.

    Without NAME it is for the only endpoint, `embedded` for all that have no other, and published weights for their
    feature's. Several of one endpoint lie together in a folder of links, which goes with `scratch`. Raises UsageError
    for a choice of no endpoint and for those that do not go together, and what `choose_weights` raises.
    """
    sources = list(found)
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise UsageError("two endpoints have the same name: choose another for one with NAME=FOLDER")
    choices: dict[str, list[str]] = {name: [] for name in names}
    others = [EMBEDDED] if EMBEDDED in chosen and len(names) > 1 else []
    for text in chosen:
        if others and text == EMBEDDED:
            continue
        name, equals, what = text.partition("=")
        wanted = [name] if equals else _find_endpoints(sources, text)
        if not wanted or not set(wanted) <= set(names):
            raise UsageError(
                f"--weights {text}: for one of several endpoints write NAME={what or text}, "
                f"with NAME one of {', '.join(names)}"
            )
        for endpoint in wanted:
            choices[endpoint].append(what if equals else text)
    return [_choose_several(source, choices[source.name] or others, scratch) for source in sources]


def check_together(chosen: Iterable[str]) -> None:
    """Raises UsageError unless what is chosen for one handler are published weights, and at most one other."""
    others = [text for text in chosen if not is_published(text)]
    if len(others) > 1 or (EMBEDDED in others and len(list(chosen)) > 1):
        raise UsageError("--weights takes names of published weights, and one folder or `embedded`")


def _choose_several(source: Source, chosen: list[str], scratch: ExitStack) -> Source:
    if len(chosen) < 2:
        return choose_weights(source, chosen[0] if chosen else None)
    check_together(chosen)
    together = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="pixelserve-weights-")))
    for folder in (choose_weights(source, text).model_dir for text in dict.fromkeys(chosen)):
        for path in folder.iterdir() if folder else ():
            try:
                (together / path.name).symlink_to(path)
            except FileExistsError:
                other = (together / path.name).readlink().parent
                raise UsageError(f"--weights: {other} and {folder} both have {path.name}: take one of them") from None
    return source.with_weights(together)


def _find_endpoints(sources: list[Source], chosen: str) -> list[str]:
    """Those that a choice without a name is for."""
    if len(sources) == 1:
        return [source.name for source in sources]
    if not is_published(chosen):
        return []
    wanted = find_weights(chosen).feature
    return [source.name for source in sources if (known := find_feature(source)) and known.name == wanted]
