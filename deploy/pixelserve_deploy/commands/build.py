"""Build the container image that SageMaker runs, or the one for AWS Lambda.

HANDLER is a feature's name or the folder of a handler, which then lies in the image with what its requirements.txt
names. A model folder with code/inference.py still comes first.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from pixelserve import features
from pixelserve.errors import NotFound
from pixelserve.models import find_weights
from pixelserve_deploy import console
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.image import Recipe, find_source

EXAMPLES = """\
  pixelserve build                                     the image with all three features
  pixelserve build ./my_model                          with a handler of yours
  pixelserve build --device cuda --torch-index URL     for GPUs
  pixelserve build --mms                               with multi-model-server as second back end
  pixelserve build --target lambda --weights realesr-general-x4v3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "handler",
        nargs="?",
        default="image_super_resolution",
        metavar="HANDLER",
        help="a feature or a handler's folder (default: image_super_resolution)",
    )
    parser.add_argument("--target", choices=("server", "lambda"), default="server", help="what will run it")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what torch and ONNX Runtime run on")
    parser.add_argument("--mms", action="store_true", help="add Java and multi-model-server (PIXELSERVE_BACKEND=mms)")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="NAME", help="published weights to put in; may be repeated"
    )
    parser.add_argument("--name", default="pixelserve", help="name of the image (default: pixelserve)")
    parser.add_argument("--base", metavar="IMAGE", help="image to build on (default: as the Dockerfile says)")
    parser.add_argument("--torch-index", metavar="URL", help="package index with the builds of torch to take")
    parser.add_argument("--torch-find-links", metavar="URL", help="page or folder with such builds")
    parser.add_argument("--mirror", metavar="URL", help="a folder with the published weights")
    parser.add_argument("--network", help="network of the build's steps, such as host")
    parser.add_argument("--no-cache", action="store_true", help="repeat every step of the build")
    parser.add_argument("--source", type=Path, metavar="DIR", help="clone of pixelserve to build (default: this one)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be built")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not show what the engine says")


def run(arguments: argparse.Namespace) -> int:
    recipe = _read_recipe(arguments)
    if arguments.dry_run:
        print(json.dumps({"tag": recipe.tag, "target": recipe.target, "arguments": recipe.build_arguments()}, indent=2))
        return 0
    from pixelserve_deploy.image import build, connect

    client = connect()
    started = time.monotonic()
    if arguments.quiet:
        tag = build(client, recipe, lambda line: None)
    else:
        with console.show_lines(f"Building {recipe.tag}") as show:
            tag = build(client, recipe, show)
    seconds, size = time.monotonic() - started, client.images.get(tag).attrs["Size"]
    if arguments.json:
        print(json.dumps({"tag": tag, "bytes": size, "seconds": round(seconds, 1)}))
    else:
        print(f"{tag}: {size / 1e9:.2f} GB, built in {seconds:.0f} s")
        if recipe.target == "server":
            print(f"To try it:  docker run --rm -p 127.0.0.1:8080:8080 {tag} serve")
        print(f"To push it: pixelserve push {tag}")
    return 0


def _read_recipe(arguments: argparse.Namespace) -> Recipe:
    """What the command line asks for. Raises UsageError or NotFound for what cannot be built."""
    if arguments.mms and arguments.target == "lambda":
        raise UsageError("--mms is a server: it does not go with --target lambda")
    given = {
        "BASE": arguments.base,
        "TORCH_INDEX_URL": arguments.torch_index,
        "TORCH_FIND_LINKS": arguments.torch_find_links,
        "PIXELSERVE_WEIGHTS_MIRROR": arguments.mirror,
    }
    for name, url in given.items():
        if url and "@" in url and "://" in url:
            raise UsageError(f"{name} has a user in its URL, which would stay in the image's history: leave it out")
    recipe = Recipe(
        source=find_source(arguments.source),
        handler=arguments.handler,
        target=arguments.target,
        device=arguments.device,
        mms=arguments.mms,
        weights=tuple(find_weights(name).name for name in arguments.weights),
        name=arguments.name,
        arguments={key: value for key, value in given.items() if value},
        network=arguments.network,
        cache=not arguments.no_cache,
    )
    if recipe.folder is None and features.find(recipe.handler) is None:
        raise NotFound(
            f"{recipe.handler} is no feature ({', '.join(f.name for f in features.FEATURES)}) and no folder with an "
            "inference.py."
        )
    return recipe
