"""Build the container image that SageMaker runs, the one for AWS Lambda, or the gateway's.

HANDLER is a feature, the folder of a handler, a folder in SageMaker's layout (code/inference.py, the weights beside
code/) or a model.tar.gz of that. SAGEMAKER_PROGRAM names another file than inference.py, as for `up`. Handler and
weights then lie in the image, with what its requirements.txt names. A model folder that is mounted, or that SageMaker
brings, still comes first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pixelserve import features
from pixelserve.local import Source, open_source
from pixelserve.models import TUNING_SUFFIX, check_tuning, find_weights
from pixelserve_deploy import console, download
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.image import Recipe, find_source
from pixelserve_deploy.options import check_together, choose_weights, is_published

EXAMPLES = """\
  pixelserve build                                     the image with all three features
  pixelserve build ./my_model --weights ./folder       with a handler of yours and its weights
  pixelserve build ./model.tar.gz                      with a model as SageMaker takes it from S3
  pixelserve build --device cuda                       for GPUs
  pixelserve build --mms                               with multi-model-server as second back end
  pixelserve build --target lambda --weights realesr-general-x4v3
  pixelserve build --target gateway                    the REST APIs in front of endpoints, without any model
"""
MIRRORS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
"""pip's variables, which are passed on to the build: they stay in the image's history."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Variables that every Dockerfile takes; the engine keeps them out of history and environment."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "handler",
        nargs="?",
        default="image_super_resolution",
        metavar="HANDLER",
        help="a feature, a handler's folder or a model.tar.gz (default: image_super_resolution)",
    )
    parser.add_argument("--target", choices=("server", "lambda", "gateway"), default="server", help="what it is")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what torch and ONNX Runtime run on")
    parser.add_argument("--mms", action="store_true", help="add Java and multi-model-server (PIXELSERVE_BACKEND=mms)")
    parser.add_argument(
        "--weights",
        "--model-dir",
        action="append",
        default=[],
        metavar="NAME|DIR",
        help="weights to put in: published ones by name, their folder, or embedded for none; may be repeated "
        "(default: the recommended ones once they are fetched)",
    )
    parser.add_argument("--name", default="pixelserve", help="name of the image (default: pixelserve)")
    parser.add_argument("--base", metavar="IMAGE", help="image to build on (default: as the Dockerfile says)")
    parser.add_argument(
        "--torch-index",
        metavar="URL",
        help="package index to take torch from (default for cpu: PyTorch's of CPU builds)",
    )
    parser.add_argument("--torch-find-links", metavar="URL", help="page or folder to take torch from instead")
    parser.add_argument("--mirror", metavar="URL", help="a folder with the published weights")
    parser.add_argument("--network", help="network of the build's steps, such as host")
    parser.add_argument("--no-cache", action="store_true", help="repeat every step of the build")
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="clone of pixelserve to build (default: what is installed)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be built")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show what the engine says")


def run(arguments: argparse.Namespace) -> int:
    with _open_recipe(arguments) as recipe:
        if arguments.dry_run:
            plan = {"tag": recipe.tag, "target": recipe.target, "arguments": recipe.build_arguments()}
            print(json.dumps(plan, indent=2))
            return 0
        _build(recipe, arguments)
    return 0


def _build(recipe: Recipe, arguments: argparse.Namespace) -> None:
    """Builds, and prints what came of it."""
    from pixelserve_deploy.image import build, connect

    with connect() as client:
        started = time.monotonic()
        if arguments.quiet:
            tag = build(client, recipe, lambda line: None)
        else:
            with console.show_lines(f"Building {recipe.tag}") as show:
                tag = build(client, recipe, show)
        seconds, size = time.monotonic() - started, client.images.get(tag).attrs["Size"]
    if arguments.json:
        print(json.dumps({"tag": tag, "bytes": size, "seconds": round(seconds, 1)}))
        return
    print(f"{tag}: {size / 1e9:.2f} GB, built in {seconds:.0f} s")
    if recipe.target == "server":
        run_it = "docker run --rm -p 127.0.0.1:8080:8080"
        print(f"To try it:  {run_it} {tag} serve")
        if recipe.folder is not None and recipe.weights_folder is None and not recipe.weights:
            print(f'With weights: {run_it} -v "$PWD/WEIGHTS:/opt/ml/model:ro" {tag} serve')
    if recipe.target == "gateway":
        print(f"To run it:  docker run --rm -p 127.0.0.1:8100:8100 -v pixelserve:/var/lib/pixelserve {tag}")
    print(f"To push it: pixelserve push {tag}")


@contextlib.contextmanager
def _open_recipe(arguments: argparse.Namespace) -> Iterator[Recipe]:
    """What the command line asks for, and an archive unpacked for as long as this is entered.

    Raises UsageError, NotFound, BadRequest or CheckpointError for what cannot be built.
    """
    if arguments.mms and arguments.target != "server":
        raise UsageError(f"--mms is a server: it does not go with --target {arguments.target}")
    if arguments.target == "gateway" and not _is_plain(arguments):
        raise UsageError("the gateway has no model: leave out HANDLER, --weights and --device")
    given = _read_arguments(arguments)
    with open_source(arguments.handler) as source:
        feature = features.find(arguments.handler)
        model_dir, published = _choose_weights(source, arguments)
        is_feature = feature is not None and source.folder == features.handler_folder(feature)
        yield Recipe(
            source=find_source(arguments.source),
            handler=feature.name if feature is not None and is_feature else str(source.folder),
            program=source.program,
            model_dir=model_dir,
            target=arguments.target,
            device=arguments.device,
            mms=arguments.mms,
            weights=published,
            tuning=tuple(path for name in published for path in _find_tuning(name)),
            name=arguments.name,
            arguments=given,
            network=arguments.network,
            cache=not arguments.no_cache,
        )


def _choose_weights(source: Source, arguments: argparse.Namespace) -> tuple[Path | None, tuple[str, ...]]:
    """The folder of weights to put in, and the published ones that the build fetches.

    Raises UsageError for several folders, and what `choose_weights` raises.
    """
    published = tuple(filter(is_published, arguments.weights))
    others = [text for text in arguments.weights if text not in published]
    check_together(arguments.weights)
    if arguments.target == "gateway" or (published and not others):
        return source.model_dir, published
    return choose_weights(source, others[0] if others else None).model_dir, published


def _find_tuning(name: str) -> list[Path]:
    """Tuning files that `pixelserve weights tune` has written beside published weights.

    Raises CheckpointError for a damaged one: a server that has it would not start.
    """
    place = download.locate_weights(find_weights(name), download.find_weights_folder())
    files = sorted(place.glob(f"*{TUNING_SUFFIX}"))
    for file in files:
        check_tuning(file)
    return files


def _is_plain(arguments: argparse.Namespace) -> bool:
    """Whether the command line names neither handler, nor weights, nor device."""
    is_named = arguments.weights or arguments.device != Recipe.device
    return arguments.handler == Recipe.handler and not is_named


def _read_arguments(arguments: argparse.Namespace) -> dict[str, str]:
    """Build arguments that the command line, or this process's environment, gives.

    Raises UsageError for a user in the URL of one that would stay in the image's history.
    """
    given = {
        "BASE": arguments.base,
        "TORCH_INDEX_URL": arguments.torch_index,
        "TORCH_FIND_LINKS": arguments.torch_find_links,
        "PIXELSERVE_WEIGHTS_MIRROR": arguments.mirror,
        **{name: os.environ.get(name) for name in MIRRORS},
    }
    for name, urls in given.items():
        if any(urlsplit(url).username is not None for url in (urls or "").split()):
            raise UsageError(f"{name} has a user in its URL, which would stay in the image's history: leave it out")
    given |= {name: os.environ.get(name) for name in PROXIES}
    return {key: value for key, value in given.items() if value}
